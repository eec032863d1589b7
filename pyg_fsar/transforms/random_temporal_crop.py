"""Random temporal crop."""

from __future__ import annotations

import math

import torch
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence

__all__ = ["RandomTemporalCrop"]


@functional_transform("skeleton_random_temporal_crop")
class RandomTemporalCrop(BaseTransform):
    r"""Keeps a random run of consecutive frames (functional name:
    :obj:`skeleton_random_temporal_crop`).

    Followed by :class:`~pyg_fsar.transforms.ResampleFrames` it changes the speed of an action.

    Args:
        min_fraction: Smallest fraction of the clip's frames that is kept; the fraction is drawn
            uniformly between it and 1.

    Raises:
        ValueError: If the fraction is not in (0, 1].

    Example:
        >>> 15 <= RandomTemporalCrop(0.5)(clips[0]).num_frames <= 30
        True
    """

    def __init__(self, min_fraction: float = 0.5) -> None:
        if not 0 < min_fraction <= 1:
            raise ValueError(f"min_fraction must be above 0 and at most 1, got {min_fraction}")
        self.min_fraction = min_fraction

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        fraction = self.min_fraction + float(torch.rand(())) * (1 - self.min_fraction)
        length = math.ceil(fraction * clip.num_frames)
        start = int(torch.randint(clip.num_frames - length + 1, ()))
        return clip.with_bodies(clip.bodies[:, start : start + length])

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.min_fraction})"
