"""Measures of over-smoothing: how similar the joints of a frame are.

All measures take the joints of any number of frames and give one value per frame.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_fsar.skeleton import Skeleton

__all__ = [
    "cosine_similarity_map",
    "dirichlet_energy",
    "effective_rank",
    "mean_average_distance",
    "numerical_rank",
]


def cosine_similarity_map(x: Tensor) -> Tensor:
    r"""Cosine similarity of every two joints, averaged over all frames.

    The heatmap by which Ma et al. (ECCV 2022) show over-smoothing. A joint that is all zero is
    similar to no other.

    Shapes:
        - **x:** :math:`(*, V, C)`
        - **output:** :math:`(V, V)`
    """
    _check(x)
    return _cosine(x).flatten(0, -3).mean(dim=0) if x.dim() > 2 else _cosine(x)


def mean_average_distance(x: Tensor) -> Tensor:
    r"""Mean of :math:`1 - \cos` over all pairs of different joints, after "Measuring and Relieving
    the Over-smoothing Problem for Graph Neural Networks" (AAAI 2020).

    0 if the features of all joints have the same direction.

    Shapes:
        - **x:** :math:`(*, V, C)` with at least two joints
        - **output:** :math:`(*)`

    Raises:
        ValueError: If there are fewer than two joints.
    """
    _check(x)
    joints = x.size(-2)
    if joints < 2:
        raise ValueError("the distance between joints needs at least two of them")
    distance = (1 - _cosine(x)).clamp(min=0)
    off_diagonal = ~torch.eye(joints, dtype=torch.bool, device=x.device)
    return (distance * off_diagonal).sum(dim=(-2, -1)) / (joints * (joints - 1))


def dirichlet_energy(x: Tensor, adj: Tensor | Skeleton | str) -> Tensor:
    r"""Sum of squared differences along the bones,
    :math:`\tfrac{1}{2} \sum_{ij} A_{ij} \| \mathbf{x}_i - \mathbf{x}_j \|^2`.

    0 if all connected joints are equal.

    Args:
        x: Joint features.
        adj: Adjacency; or a skeleton or its name, whose bones have weight 1.

    Shapes:
        - **x:** :math:`(*, V, C)`
        - **adj:** :math:`(V, V)`
        - **output:** :math:`(*)`

    Raises:
        ValueError: If the adjacency does not fit the joints.
    """
    _check(x)
    joints = x.size(-2)
    if not isinstance(adj, Tensor):
        skeleton = Skeleton.get(adj)
        skeleton.check_joints(joints, "x")
        source, target = skeleton.edge_index().to(x.device)
        weight = x.new_ones(source.numel())
    else:
        if adj.shape != (joints, joints):
            raise ValueError(f"adjacency must be [{joints}, {joints}], got {list(adj.shape)}")
        source, target = adj.nonzero(as_tuple=True)
        weight = adj[source, target].to(x)
    difference = x.index_select(-2, source) - x.index_select(-2, target)
    return 0.5 * (weight * difference.square().sum(dim=-1)).sum(dim=-1)


def numerical_rank(x: Tensor) -> Tensor:
    r"""The stable rank :math:`\| \mathbf{X} \|_F^2 / \| \mathbf{X} \|_2^2`, between 1 and
    :math:`\min(V, C)`; 0 of a frame of zeros.

    Shapes:
        - **x:** :math:`(*, V, C)`
        - **output:** :math:`(*)`
    """
    _check(x)
    values = torch.linalg.svdvals(x).square()
    largest = values[..., 0]
    return values.sum(dim=-1) / torch.where(largest > 0, largest, 1)


def effective_rank(x: Tensor) -> Tensor:
    r"""Exponential of the entropy of the normalised singular values, after "The Effective Rank: A
    Measure of Effective Dimensionality" (EUSIPCO 2007).

    Between 1 and :math:`\min(V, C)`; 0 of a frame of zeros.

    Shapes:
        - **x:** :math:`(*, V, C)`
        - **output:** :math:`(*)`
    """
    _check(x)
    values = torch.linalg.svdvals(x)
    total = values.sum(dim=-1, keepdim=True)
    fractions = values / torch.where(total > 0, total, 1)
    entropy = -torch.xlogy(fractions, fractions).sum(dim=-1)
    return torch.where(total.squeeze(-1) > 0, entropy.exp(), 0)


def _cosine(x: Tensor) -> Tensor:
    unit = F.normalize(x, dim=-1)
    return unit @ unit.mT


def _check(x: Tensor) -> None:
    if x.dim() < 2 or x.numel() == 0:
        raise ValueError(f"expected joints [..., V, C], at least one, got {list(x.shape)}")
