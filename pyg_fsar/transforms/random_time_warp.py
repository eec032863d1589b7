"""Random speed within a clip."""

from __future__ import annotations

import torch
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms.utils import check_count, interpolate_frames

__all__ = ["RandomTimeWarp"]


@functional_transform("skeleton_random_time_warp")
class RandomTimeWarp(BaseTransform):
    r"""Makes parts of a clip faster and others slower, as people do (functional name:
    :obj:`skeleton_random_time_warp`).

    The logarithm of the speed is drawn uniformly at evenly spaced moments and is linear between
    them. First and last frame and the number of frames stay; frames are interpolated.

    Args:
        strength: Largest absolute value of the logarithm; with 0.5 the speed changes by a factor
            of at most :math:`e = 2.7` within a clip.
        num_knots: Number of moments, at least 2.

    Raises:
        ValueError: If the strength is negative or infinite, or the knots are fewer than 2.

    Example:
        >>> clip = clips[0]
        >>> RandomTimeWarp(0.5)(clip).bodies.shape == clip.bodies.shape
        True
    """

    def __init__(self, strength: float = 0.5, num_knots: int = 4) -> None:
        if not 0 <= strength < float("inf"):
            raise ValueError(f"strength must be 0 or more and finite, got {strength}")
        self.strength, self.num_knots = strength, check_count("num_knots", num_knots, least=2)

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        knots = self.strength * (2 * torch.rand(self.num_knots, dtype=torch.float64) - 1)
        last = clip.num_frames - 1
        if last < 2:  # no frame lies between two others
            return clip
        step = torch.linspace(0, self.num_knots - 1, last, dtype=torch.float64)
        before = step.long().clamp(max=self.num_knots - 2)
        speed = knots[before].lerp(knots[before + 1], step - before).exp()
        position = torch.cat([speed.new_zeros(1), speed.cumsum(0)])
        position = (position * last / position[-1]).clamp(max=last)
        return clip.with_bodies(interpolate_frames(clip, position.to(clip.x.device)))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.strength}, num_knots={self.num_knots})"
