"""Random reflection: swap left and right."""

from __future__ import annotations

import torch
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.transforms.utils import coordinates, move_joints

__all__ = ["RandomMirror"]


@functional_transform("skeleton_random_mirror")
class RandomMirror(BaseTransform):
    r"""Mirrors a clip: x is negated, and left and right joints are swapped
    (functional name: :obj:`skeleton_random_mirror`).

    This changes the meaning of handed actions: do not use it where "swipe left" and "swipe right"
    are different classes. The clip is mirrored at x = 0, so centre it first.

    Args:
        p: Probability of mirroring a clip.

    Raises:
        ValueError: If the probability is not in 0..1.

    Example:
        >>> RandomMirror(0.5)(clips[0]).bodies.shape
        torch.Size([1, 30, 25, 3])
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p must be in 0..1, got {p}")
        self.p = p

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        if float(torch.rand(())) >= self.p:
            return clip
        mirror = Skeleton.get(clip.skeleton).mirror
        swapped = clip.with_bodies(clip.bodies[:, :, list(mirror)])
        if "centered_on" in clip:
            swapped.centered_on = mirror[clip.centered_on]
        image = coordinates(swapped).clone()
        image[..., 0].neg_()
        return move_joints(swapped, image)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.p})"
