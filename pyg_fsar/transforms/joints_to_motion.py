"""Frame differences, the motion stream."""

from __future__ import annotations

from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence, motion_vectors
from pyg_fsar.transforms.utils import coordinates, present, with_coordinates

__all__ = ["JointsToMotion"]


@functional_transform("skeleton_joints_to_motion")
class JointsToMotion(BaseTransform):
    r"""Replaces each joint's coordinates by its displacement to the next frame (functional name:
    :obj:`skeleton_joints_to_motion`).

    The last frame's motion is zero, and so is that of a joint missing in one of the two frames.
    Other channels are kept. Apply it to bones for the bone motion stream.

    Example:
        >>> JointsToMotion()(clips[0]).bodies.shape
        torch.Size([1, 30, 25, 3])
    """

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        return with_coordinates(clip, motion_vectors(coordinates(clip), present(clip)))
