"""Random 2D views of 3D clips."""

from __future__ import annotations

import torch
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.transforms.random_rotate import RandomRotate
from pyg_fsar.transforms.utils import coordinates, present, with_dims

__all__ = ["RandomProjection"]


@functional_transform("skeleton_random_projection")
class RandomProjection(BaseTransform):
    r"""Projects a 3D clip to 2D as a camera at a random place sees it, without perspective
    (functional name: :obj:`skeleton_random_projection`).

    The third channel of the result is a score, 1 for joints that are present, as pose estimators
    give it; missing joints are zero. Its layout is the 2D form, such as ``body15_2d`` for
    ``body15``. Angles are those from the front: :class:`~pyg_fsar.transforms.AlignView` comes
    first. The clip is turned about the origin, so centre it. 2D clips stay as they are.

    Args:
        azimuth: Largest angle about the vertical, in degrees; 180 gives views from all sides.
        elevation: Largest angle up or down, in degrees.
        p: Probability of projecting a clip; others stay 3D.

    Raises:
        ValueError: If an angle is negative or not finite, or the probability not in 0..1.

    Example:
        >>> clip = MapJoints("body15")(clips[0])
        >>> RandomProjection(azimuth=45)(clip).skeleton
        'body15_2d'
    """

    def __init__(self, azimuth: float = 45.0, elevation: float = 15.0, p: float = 1.0) -> None:
        if not (0 <= azimuth < float("inf") and 0 <= elevation < float("inf")):
            raise ValueError(
                f"angles must not be negative, NaN or infinite, got {azimuth} and {elevation}"
            )
        if not 0 <= p <= 1:
            raise ValueError(f"p must be in 0..1, got {p}")
        self.azimuth, self.elevation, self.p = azimuth, elevation, p

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        project = float(torch.rand(())) < self.p
        if not project or Skeleton.get(clip.skeleton).dims != 3:
            return clip
        there = present(clip).unsqueeze(-1)
        # About the person's own vertical, and then up or down as seen by the camera.
        turned = RandomRotate((0, self.azimuth, 0))(clip)
        turned = RandomRotate((self.elevation, 0, 0))(turned)
        flat = coordinates(turned)[..., :2].where(there, 0)
        result = clip.with_bodies(torch.cat([flat, there.to(flat)], dim=-1))
        layout = with_dims(Skeleton.get(clip.skeleton), 2)
        Skeleton.register(layout)
        result.skeleton = layout.name
        return result

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.azimuth}, {self.elevation}, p={self.p})"
