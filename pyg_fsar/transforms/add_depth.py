"""Make 3D clips of 2D clips."""

from __future__ import annotations

from torch.nn.functional import pad
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.transforms.utils import coordinates, present, with_dims

__all__ = ["AddDepth"]


@functional_transform("skeleton_add_depth")
class AddDepth(BaseTransform):
    r"""Gives 2D clips a depth of zero, so that one model takes clips of both kinds (functional
    name: :obj:`skeleton_add_depth`).

    Channels beyond the coordinates, such as scores, are left out, of 3D clips too; missing joints
    are zero. The layout of a 2D clip becomes its 3D form, such as ``body15`` for ``body15_2d``.

    Example:
        >>> flat = SkeletonSequence.from_bodies(torch.rand(1, 9, 15, 3), skeleton="body15_2d")
        >>> AddDepth()(flat).bodies.shape
        torch.Size([1, 9, 15, 3])
    """

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        layout = with_dims(Skeleton.get(clip.skeleton), 3)
        Skeleton.register(layout)
        joints = coordinates(clip).where(present(clip).unsqueeze(-1), 0)
        result = clip.with_bodies(pad(joints, (0, 3 - joints.size(-1))))
        result.skeleton = layout.name
        return result
