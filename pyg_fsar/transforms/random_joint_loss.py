"""Joints that get lost."""

from __future__ import annotations

import torch
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.skeleton import Skeleton

__all__ = ["RandomJointLoss"]


@functional_transform("skeleton_random_joint_loss")
class RandomJointLoss(BaseTransform):
    r"""Loses joints, as sensors and pose estimators do (functional name:
    :obj:`skeleton_random_joint_loss`).

    Each joint of each body is lost with a probability, in half of the cases for the whole clip and
    else for one random run of frames. All its channels are then zero. The layout's central joint,
    relative to which others are placed, stays.

    Args:
        p: Probability for each joint.

    Raises:
        ValueError: If the probability is not in 0..1.

    Example:
        >>> clip = clips[0]
        >>> RandomJointLoss(p=0.1)(clip).bodies.shape == clip.bodies.shape
        True
    """

    def __init__(self, p: float = 0.1) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p must be in 0..1, got {p}")
        self.p = p

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        bodies = clip.bodies
        num_bodies, num_frames, num_joints = bodies.shape[:3]
        lost, whole, start, end = torch.rand(4, num_bodies, 1, num_joints)
        time = torch.arange(num_frames).view(-1, 1) / num_frames
        during = (time >= start.minimum(end)) & (time < start.maximum(end))
        gone = (lost < self.p) & ((whole < 0.5) | during)
        gone[:, :, Skeleton.get(clip.skeleton).center] = False
        return clip.with_bodies(bodies.masked_fill(gone.unsqueeze(-1).to(bodies.device), 0))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.p})"
