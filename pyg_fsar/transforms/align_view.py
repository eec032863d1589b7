"""Rotate a clip so that its person faces the camera."""

from __future__ import annotations

import torch
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms.utils import coordinates, move_joints, torso

__all__ = ["AlignView"]


@functional_transform("skeleton_align_view")
class AlignView(BaseTransform):
    r"""Rotates a clip so that its person stands upright and faces the camera (functional name:
    :obj:`skeleton_align_view`).

    The shoulder line, from left to right, is aligned with x, and the spine with the x-y plane,
    pointing upwards. One rotation about the origin is applied to all frames and bodies, which keeps
    movement and the relative position of bodies. It is computed from the first usable frame, in
    which people mostly still stand at rest: shoulders and hips are present, and the spine has a
    length and is not parallel to the shoulder line. The first body that has a usable frame counts;
    a clip without one is returned unchanged.

    As in the pre-processing of "Two-Stream Adaptive Graph Convolutional Networks for Skeleton-Based
    Action Recognition" (CVPR 2019), but with y as the vertical axis.

    Args:
        turn_2d: Take 2D clips, too, which cannot be rotated: where the person is seen from behind,
            with the right shoulder on the left in half of the frames or more, x is negated.

    Raises:
        ValueError: If the clip is 2D and ``turn_2d`` is not set, or if the skeleton has no joints
            named as shoulders and hips.

    Example:
        >>> AlignView()(clips[0]).bodies.shape
        torch.Size([1, 30, 25, 3])
    """

    def __init__(self, turn_2d: bool = False) -> None:
        self.turn_2d = turn_2d

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        if coordinates(clip).size(-1) != 3:
            if self.turn_2d:
                return _facing_in_2d(clip)
            raise ValueError(
                f"AlignView turns 3D clips, but '{clip.skeleton}' has "
                f"{coordinates(clip).size(-1)} coordinates; leave the transform out or use "
                "AlignView(turn_2d=True)"
            )
        shoulders, spine, mask = (line.flatten(0, 1) for line in torso(clip))
        backwards = torch.linalg.cross(shoulders, spine)
        size = shoulders.norm(dim=-1).maximum(spine.norm(dim=-1))
        usable = mask & (backwards.norm(dim=-1) > 1e-3 * size.square())
        if not bool(usable.any()):
            return clip
        first = int(usable.int().argmax())
        x = shoulders[first] / shoulders[first].norm()
        z = backwards[first] / backwards[first].norm()
        axes = torch.stack([x, torch.linalg.cross(z, x), z], dim=1)
        return move_joints(clip, coordinates(clip) @ axes)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({'turn_2d=True' if self.turn_2d else ''})"


def _facing_in_2d(clip: SkeletonSequence) -> SkeletonSequence:
    """A 2D clip with the main body's right shoulder on the right in most frames."""
    shoulders, _, mask = torso(clip)
    if not bool(mask.any()):
        return clip
    body = int(mask.any(dim=1).int().argmax())
    if float(shoulders[body, mask[body], 0].median()) >= 0:
        return clip
    return move_joints(clip, coordinates(clip) * coordinates(clip).new_tensor([-1, 1]))
