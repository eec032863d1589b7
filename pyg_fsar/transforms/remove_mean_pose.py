"""Subtract each clip's mean pose."""

from __future__ import annotations

from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms.utils import coordinates, move_joints, present

__all__ = ["RemoveMeanPose"]


@functional_transform("skeleton_remove_mean_pose")
class RemoveMeanPose(BaseTransform):
    r"""Subtracts from every joint its mean position over the clip (functional name:
    :obj:`skeleton_remove_mean_pose`).

    This removes build and posture and keeps movement. It makes clips of different people far more
    alike where an action is defined by its movement, and removes information where it is defined by
    a pose or by the distance between two people. Apply it after transforms that need anatomy, such
    as :class:`~pyg_fsar.transforms.AlignView`.

    Frames in which a joint is missing are excluded from its mean, and it stays missing there.

    Example:
        >>> RemoveMeanPose()(clips[0]).bodies.mean(dim=1).abs().max() < 1e-5
        tensor(True)
    """

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        mask = present(clip).unsqueeze(-1)
        old = coordinates(clip)
        total = old.where(mask, 0).sum(dim=1, keepdim=True)
        return move_joints(clip, old - total / mask.sum(dim=1, keepdim=True).clamp(min=1))
