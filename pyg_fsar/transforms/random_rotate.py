"""Random rotation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms.utils import coordinates, move_joints

__all__ = ["RandomRotate"]


@functional_transform("skeleton_random_rotate")
class RandomRotate(BaseTransform):
    r"""Rotates a clip about the origin by random angles, the same for all frames and bodies
    (functional name: :obj:`skeleton_random_rotate`).

    Args:
        degrees: Largest angle. One number rotates about the vertical axis y, like another camera
            position (2D clips: in the image plane); three numbers rotate about x, then y, then z.

    Raises:
        ValueError: If there are neither one nor three angles, one is NaN or infinite, or there are
            three for a 2D clip.

    Example:
        >>> RandomRotate((10, 15, 10))(clips[0]).bodies.shape
        torch.Size([1, 30, 25, 3])
    """

    def __init__(self, degrees: float | Sequence[float]) -> None:
        if isinstance(degrees, Sequence) and len(degrees) != 3:
            raise ValueError(f"degrees must be one number or three, got {len(degrees)}")
        angles = tuple(degrees) if isinstance(degrees, Sequence) else (degrees,)
        if not all(math.isfinite(angle) for angle in angles):
            raise ValueError(f"degrees must be finite, got {degrees}")
        self.degrees = angles if len(angles) == 3 else angles[0]

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        old = coordinates(clip)
        if isinstance(self.degrees, tuple) and old.size(-1) == 2:
            raise ValueError(
                f"a clip of '{clip.skeleton}' has 2 coordinates and can only be rotated in "
                "their plane; give RandomRotate one angle instead of three"
            )
        degrees = self.degrees if isinstance(self.degrees, tuple) else (0.0, self.degrees, 0.0)
        fractions = (2 * torch.rand(3) - 1).tolist()
        x, y, z = (math.radians(d * f) for d, f in zip(degrees, fractions, strict=True))
        matrix = _rotation(x, y, z) if old.size(-1) == 3 else _plane_rotation(y)
        return move_joints(clip, old @ matrix.to(old).t())

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.degrees})"


def _plane_rotation(angle: float) -> Tensor:
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.tensor([[cos, -sin], [sin, cos]])


def _rotation(x: float, y: float, z: float) -> Tensor:
    """Rotation about x, then y, then z, multiplied out."""
    (cx, sx), (cy, sy), (cz, sz) = ((math.cos(a), math.sin(a)) for a in (x, y, z))
    return torch.tensor(
        [
            [cy * cz, sx * sy * cz - cx * sz, cx * sy * cz + sx * sz],
            [cy * sz, sx * sy * sz + cx * cz, cx * sy * sz - sx * cz],
            [-sy, sx * cy, cx * cy],
        ]
    )
