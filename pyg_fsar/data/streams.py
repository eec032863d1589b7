"""Bones and motion of joints, as further streams of a network see them.

All coordinates are ``[..., T, V, D]``, and ``there``, bool ``[..., T, V]``, tells which joints are
not missing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pyg_fsar.skeleton import Skeleton

__all__ = ["bone_vectors", "mirror_vectors", "motion_vectors", "present_joints"]


def present_joints(bodies: Tensor, centered_on: int | None = None) -> Tensor:
    """Which joints are there: those that are not all zero or NaN.

    Args:
        bodies: All channels of the joints.
        centered_on: A joint that may lie at the origin because the body was moved there. It is
            there if its body is.

    Shapes:
        - **bodies:** ``[..., T, V, C]``
        - **output:** bool ``[..., T, V]``
    """
    there = bodies.abs().sum(dim=-1) > 0  # false for NaN, too
    if centered_on is not None:
        there[..., centered_on] = there.any(dim=-1)
    return there


def bone_vectors(joints: Tensor, there: Tensor, parents: Sequence[int]) -> Tensor:
    """The way to each joint from its parent; zero for the root, and where one of them is missing.

    Shapes:
        - **joints, output:** ``[..., T, V, D]``
        - **there:** ``[..., T, V]``
    """
    parents = list(parents)
    both = there & there[..., parents]
    return (joints - joints[..., parents, :]).masked_fill(~both.unsqueeze(-1), 0)


def motion_vectors(joints: Tensor, there: Tensor) -> Tensor:
    """The way of each joint to the next frame; zero in the last, and if missing in one of both.

    Shapes:
        - **joints, output:** ``[..., T, V, D]``
        - **there:** ``[..., T, V]``
    """
    both = there[..., :-1, :] & there[..., 1:, :]
    motion = joints.diff(dim=-3).masked_fill(~both.unsqueeze(-1), 0)
    return torch.cat([motion, torch.zeros_like(joints[..., :1, :, :])], dim=-3)


def mirror_vectors(x: Tensor, skeleton: Skeleton) -> Tensor:
    """Vectors at joints as the mirror image has them: left and right swapped and x negated.

    Args:
        x: One or more vectors of ``skeleton.dims`` coordinates at each joint, one after the other.
        skeleton: Layout of the joints.

    Shapes:
        - **x, output:** ``[..., V, C]``
    """
    sign = torch.ones(x.size(-1), dtype=x.dtype, device=x.device)
    sign[:: skeleton.dims] = -1
    return x[..., list(skeleton.mirror), :] * sign
