"""Leaving of a clip what moves."""

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

    How a person is built and holds himself is gone, how he moves is left. Where an action is known
    by its movement, this alone makes clips of different people far more alike; where it is known by
    a pose or by the distance of two people, it takes away what tells. Let it come after transforms
    that look for anatomy, such as :class:`~pyg_fsar.transforms.AlignView`.

    Frames in which a joint is missing do not count, and it stays missing there.
    """

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        there = present(clip).unsqueeze(-1)
        old = coordinates(clip)
        total = old.where(there, 0).sum(dim=1, keepdim=True)
        return move_joints(clip, old - total / there.sum(dim=1, keepdim=True).clamp(min=1))
