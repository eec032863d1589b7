"""What all warping aligners share: the operators on batches of any shape."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyg_fsar.kernels import warp, warp_backward

__all__ = ["aligned_cells", "check_smoothing", "least_cost"]


def check_smoothing(name: str, value: float) -> float:
    """Refuse what cannot smooth a minimum.

    Args:
        name: What the aligner calls it.
        value: Number given.

    Raises:
        TypeError: If it requires a gradient, of which aligners compute none.
        ValueError: If it is not positive and finite.
    """
    if isinstance(value, Tensor) and value.requires_grad:
        raise TypeError(
            f"{name} must be a plain number, got a tensor that requires a gradient, which it would "
            "not get"
        )
    if not 0 < value < math.inf:
        raise ValueError(
            f"{name} must be a positive number, got {value}; a small one makes the minimum hard"
        )
    return float(value)


def least_cost(cost: Tensor, n: Tensor, m: Tensor, gamma: float, free_ends: bool = False) -> Tensor:
    """The operator :func:`~pyg_fsar.kernels.warp` on any batch shape.

    Shapes:
        - **cost:** ``[..., N, M]``
        - **n**, **m:** ``[...]``
        - **output:** ``[...]``
    """
    with_gradient = torch.is_grad_enabled() and cost.requires_grad
    total, _ = warp(_pairs(cost), n.reshape(-1), m.reshape(-1), gamma, free_ends, with_gradient)
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
    total, weights = warp(_pairs(cost), n, m, gamma, free_ends, True)
    cells = warp_backward(torch.ones_like(total), weights, n, m, *cost.shape[-2:])
    return cells.view(cost.shape)


def _pairs(cost: Tensor) -> Tensor:
    return cost.reshape(-1, *cost.shape[-2:])
