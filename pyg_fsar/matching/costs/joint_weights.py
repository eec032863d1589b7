"""How much each joint counts in a frame cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pyg_fsar.skeleton import Skeleton

__all__ = ["joint_weights", "normalised_weights"]


def joint_weights(
    skeleton: str | Skeleton, weights: Mapping[str, float], rest: float = 1.0
) -> tuple[float, ...]:
    """Weights of all joints from those of some parts or joints, as costs take them.

    Args:
        skeleton: Layout of the joints, or its registered name.
        weights: Weight of each named part (:attr:`pyg_fsar.Skeleton.parts`) or joint; of two that
            name the same joint, the later one counts.
        rest: Weight of all other joints.

    Raises:
        ValueError: If the layout has no part or joint of a name, or weights are not as
            :class:`~pyg_fsar.matching.InnerProductCost` takes them.

    Example:
        >>> weights = joint_weights("ntu25", {"left_arm": 2.0, "head": 0.0})
        >>> matcher = build_matcher("soft_dtw", joint_weights=weights)
    """
    layout = Skeleton.get(skeleton)
    values = [float(rest)] * layout.num_joints
    for name, weight in weights.items():
        if name not in layout.parts and name not in layout.joints:
            parts = ", ".join(layout.parts) or "none"
            raise ValueError(
                f"skeleton '{layout.name:.80}' has no part or joint '{name:.80}'; its parts are "
                f"{parts:.250}"
            )
        for joint in layout.parts.get(name, ()) or (layout.joint(name),):
            values[joint] = float(weight)
    normalised_weights(values)
    return tuple(values)


def normalised_weights(weights: Sequence[float]) -> Tensor:
    """Checked weights of joints, divided by their mean.

    Shapes:
        - **output:** ``[V]`` float32

    Raises:
        ValueError: If there is none, one is negative or not finite, or all are zero.
    """
    try:
        values = [float(weight) for weight in weights]
    except (TypeError, ValueError):
        values = []  # refused below
    if not all(value >= 0 for value in values) or not 0 < sum(values) < math.inf:
        raise ValueError(
            "joint_weights must be one number of 0 or more for each joint, at least one of them "
            f"above 0, got {weights!s:.80}"
        )
    mean = sum(values) / len(values)
    return torch.tensor([value / mean for value in values], dtype=torch.float32)
