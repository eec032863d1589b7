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

    Args:
        width: Factor for x of 2D clips. From another side a movement looks wider or narrower, but
            as high, so a factor below 1 makes views of one action more alike.

    Raises:
        ValueError: If the factor is not positive and finite.

    Example:
        >>> flat = SkeletonSequence.from_bodies(torch.rand(1, 9, 15, 3), skeleton="body15_2d")
        >>> AddDepth()(flat).bodies.shape
        torch.Size([1, 9, 15, 3])
    """

    def __init__(self, width: float = 1.0) -> None:
        if not 0 < width < float("inf"):
            raise ValueError(f"width must be positive and finite, got {width}")
        self.width = width

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        layout = with_dims(Skeleton.get(clip.skeleton), 3)
        Skeleton.register(layout)
        joints = coordinates(clip).where(present(clip).unsqueeze(-1), 0)
        if joints.size(-1) == 2:
            joints = joints * joints.new_tensor([self.width, 1])
        result = clip.with_bodies(pad(joints, (0, 3 - joints.size(-1))))
        result.skeleton = layout.name
        return result

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({'' if self.width == 1 else self.width})"
