"""The motion stream."""

from __future__ import annotations

import torch
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms.utils import coordinates, present, with_coordinates

__all__ = ["JointsToMotion"]


@functional_transform("skeleton_joints_to_motion")
class JointsToMotion(BaseTransform):
    r"""Replaces each joint's coordinates by its way to the next frame (functional name:
    :obj:`skeleton_joints_to_motion`).

    The last frame's motion is zero, and so is that of a joint missing in one of the two frames.
    Other channels stay those of the joint. Apply it to bones for the bone motion stream.
    """

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        joints, there = coordinates(clip), present(clip)
        both = there[:, :-1] & there[:, 1:]
        motion = joints.diff(dim=1).masked_fill(~both.unsqueeze(-1), 0)
        return with_coordinates(clip, torch.cat([motion, torch.zeros_like(joints[:, :1])], dim=1))
