"""Random shear."""

from __future__ import annotations

import torch
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms.utils import coordinates, move_joints

__all__ = ["RandomShear"]


@functional_transform("skeleton_random_shear")
class RandomShear(BaseTransform):
    r"""Shears a clip about the origin, the same in all frames and bodies (functional name:
    :obj:`skeleton_random_shear`).

    To every coordinate, random multiples of the others are added.

    Args:
        shear: Largest absolute value of these factors.

    Raises:
        ValueError: If ``shear`` is negative.

    Example:
        >>> RandomShear(0.1)(clips[0]).bodies.shape
        torch.Size([1, 30, 25, 3])
    """

    def __init__(self, shear: float = 0.2) -> None:
        if not 0 <= shear < float("inf"):
            raise ValueError(f"shear must not be negative, NaN or infinite, got {shear}")
        self.shear = shear

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        old = coordinates(clip)
        matrix = (2 * torch.rand(old.size(-1), old.size(-1)) - 1) * self.shear
        return move_joints(clip, old @ matrix.fill_diagonal_(1).to(old))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.shear})"
