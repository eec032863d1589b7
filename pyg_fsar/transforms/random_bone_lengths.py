"""Random proportions of the body."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence, bone_vectors
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.transforms.utils import coordinates, move_joints, present

__all__ = ["RandomBoneLengths"]


@functional_transform("skeleton_random_bone_lengths")
class RandomBoneLengths(BaseTransform):
    r"""Changes the lengths of bones and keeps their directions, as with other people (functional
    name: :obj:`skeleton_random_bone_lengths`).

    A bone has one factor in all frames and bodies, and so has its counterpart on the other side.
    What hangs on a bone moves along. Joints without a bone in a frame, as theirs or its other end
    is missing, move along with the nearest ancestor that has one.

    Args:
        strength: Largest absolute value of the logarithm of a factor.

    Raises:
        ValueError: If the strength is negative or infinite.

    Example:
        >>> clip = clips[0]
        >>> RandomBoneLengths(0.15)(clip).bodies.shape == clip.bodies.shape
        True
    """

    def __init__(self, strength: float = 0.15) -> None:
        if not 0 <= strength < float("inf"):
            raise ValueError(f"strength must be 0 or more and finite, got {strength}")
        self.strength = strength

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        layout, old = Skeleton.get(clip.skeleton), coordinates(clip)
        growth = self.strength * (2 * torch.rand(layout.num_joints) - 1)
        joints = torch.arange(layout.num_joints)
        growth = growth[joints.minimum(torch.tensor(layout.mirror))].expm1()
        bones = bone_vectors(old, present(clip), layout.parents)
        moved = bones * growth.unsqueeze(-1).to(bones)
        # Each joint moves by the sum over the bones between it and the root.
        shift = torch.einsum("vw, mtwd -> mtvd", _ways_to_root(layout.parents).to(moved), moved)
        return move_joints(clip, old + shift)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.strength})"


@lru_cache(maxsize=64)
def _ways_to_root(parents: tuple[int, ...]) -> Tensor:
    """Which joints, by columns, lie between each joint and the root, both included, ``[V, V]``."""
    ways = torch.zeros(len(parents), len(parents), device="cpu")
    for joint in range(len(parents)):
        ancestor = joint
        ways[joint, ancestor] = 1
        while parents[ancestor] != ancestor:
            ancestor = parents[ancestor]
            ways[joint, ancestor] = 1
    return ways
