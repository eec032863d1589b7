"""Bone vectors, the bone stream."""

from __future__ import annotations

from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence, bone_vectors
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.transforms.utils import coordinates, present, with_coordinates

__all__ = ["JointsToBones"]


@functional_transform("skeleton_joints_to_bones")
class JointsToBones(BaseTransform):
    r"""Replaces each joint's coordinates by its bone, the vector from its parent (functional
    name: :obj:`skeleton_joints_to_bones`).

    This is the second stream of "Two-Stream Adaptive Graph Convolutional Networks for Skeleton-
    Based Action Recognition" (CVPR 2019). The root's bone is zero, and so is one with a missing
    end. Other channels are kept.

    Example:
        >>> JointsToBones()(clips[0]).bodies.shape
        torch.Size([1, 30, 25, 3])
    """

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        parents = Skeleton.get(clip.skeleton).parents
        return with_coordinates(clip, bone_vectors(coordinates(clip), present(clip), parents))
