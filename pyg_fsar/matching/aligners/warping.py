"""What all warping aligners share: the operators on batches of any shape."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_fsar.matching.kernels import warp, warp_backward

__all__ = ["aligned_cells", "least_cost"]


def least_cost(cost: Tensor, n: Tensor, m: Tensor, gamma: float, free_ends: bool = False) -> Tensor:
    """The operator :func:`~pyg_fsar.matching.kernels.warp` on any batch shape.

    Shapes:
        - **cost:** ``[..., N, M]``
        - **n**, **m:** ``[...]``
        - **output:** ``[...]``
    """
    total, _ = warp(_pairs(cost), n.reshape(-1), m.reshape(-1), gamma, free_ends)
    return total.view(cost.shape[:-2])


def aligned_cells(
    cost: Tensor, n: Tensor, m: Tensor, gamma: float, free_ends: bool = False
) -> Tensor:
    """Gradient of :func:`least_cost` for the costs.

    Shapes:
        - **cost:** ``[..., N, M]``
        - **n**, **m:** ``[...]``
        - **output:** ``[..., N, M]``
    """
    n, m = n.reshape(-1), m.reshape(-1)
    total, weights = warp(_pairs(cost), n, m, gamma, free_ends)
    cells = warp_backward(torch.ones_like(total), weights, n, m, *cost.shape[-2:])
    return cells.view(cost.shape)


def _pairs(cost: Tensor) -> Tensor:
    return cost.reshape(-1, *cost.shape[-2:])
