"""Sensor noise."""

from __future__ import annotations

import torch
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms.utils import coordinates, move_joints

__all__ = ["RandomJitter"]


@functional_transform("skeleton_random_jitter")
class RandomJitter(BaseTransform):
    r"""Adds independent Gaussian noise to every joint and frame (functional name:
    :obj:`skeleton_random_jitter`).

    Args:
        std: Standard deviation of the noise, in the units of the coordinates.

    Raises:
        ValueError: If the standard deviation is negative.

    Example:
        >>> RandomJitter(0.01)(clips[0]).bodies.shape
        torch.Size([1, 30, 25, 3])
    """

    def __init__(self, std: float = 0.01) -> None:
        if not 0 <= std < float("inf"):
            raise ValueError(f"std must not be negative, NaN or infinite, got {std}")
        self.std = std

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        old = coordinates(clip)
        return move_joints(clip, old + self.std * torch.randn(old.shape).to(old))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.std})"
