"""Random body size."""

from __future__ import annotations

import torch
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms.utils import coordinates, move_joints

__all__ = ["RandomScale"]


@functional_transform("skeleton_random_scale")
class RandomScale(BaseTransform):
    r"""Scales a clip about the origin by a random factor (functional name:
    :obj:`skeleton_random_scale`).

    Args:
        scales: Smallest and largest factor.

    Raises:
        ValueError: If the factors are not positive, not finite or not in order.

    Example:
        >>> RandomScale((0.8, 1.2))(clips[0]).bodies.shape
        torch.Size([1, 30, 25, 3])
    """

    def __init__(self, scales: tuple[float, float] = (0.9, 1.1)) -> None:
        low, high = scales
        if not 0 < low <= high < float("inf"):
            raise ValueError(
                f"scales must be two positive factors in order, both finite, got {scales}"
            )
        self.scales = (low, high)

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        low, high = self.scales
        factor = low + float(torch.rand(())) * (high - low)
        return move_joints(clip, coordinates(clip) * factor)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.scales})"
