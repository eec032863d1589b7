"""Translate a clip so that one joint is at the origin."""

from __future__ import annotations

import torch
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.transforms.utils import coordinates, move_joints, present

__all__ = ["CenterOnJoint"]


@functional_transform("skeleton_center_on_joint")
class CenterOnJoint(BaseTransform):
    r"""Subtracts the position of a joint of the main body from all bodies (functional name:
    :obj:`skeleton_center_on_joint`).

    The main body is the first in which the joint is present in some frame. All bodies are
    translated alike, so two people keep their distance. A clip in which no body has the joint is
    returned unchanged.

    Args:
        joint: Name or number of the joint; by default the skeleton's centre.
        mode: ``"first"`` subtracts one position, that of the first frame that has the joint, which
            keeps the person's movement through the room. ``"frame"`` subtracts the position in each
            frame (without the joint, its last known position), which keeps only the pose.

    Raises:
        ValueError: If the mode is unknown, or later if the skeleton has no such joint.

    Example:
        >>> CenterOnJoint("spine_base")(clips[0]).bodies[0, 0, 0]
        tensor([0., 0., 0.])
    """

    def __init__(self, joint: str | int | None = None, mode: str = "first") -> None:
        if mode not in ("first", "frame"):
            raise ValueError(f"unknown mode '{mode}'; known are first, frame")
        self.joint, self.mode = joint, mode

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        layout = Skeleton.get(clip.skeleton)
        joint = layout.center if self.joint is None else layout.joint(self.joint)
        there, joints = present(clip), coordinates(clip)
        seen = there[..., joint]
        if bool(seen[0].all()):  # as most often, so that a stream spends little on a frame
            origins = joints[0, :, joint]
        elif bool(seen.any()):
            body = int(seen.any(dim=1).int().argmax())
            first = int(seen[body].int().argmax())
            frame = torch.arange(seen.size(1), device=seen.device)
            last_seen = frame.where(seen[body], first).cummax(dim=0).values
            origins = joints[body, last_seen, joint]  # before the first frame seen, that of it
        else:
            return clip
        origin = origins[0] if self.mode == "first" else origins.unsqueeze(1)
        centered = move_joints(clip, joints - origin, there)
        centered.centered_on = joint
        return centered

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(joint={self.joint!r}, mode={self.mode!r})"
