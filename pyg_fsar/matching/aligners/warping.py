"""What all warping aligners share: the operators on batches of any shape."""

from __future__ import annotations

import math
import operator
from typing import SupportsIndex

import torch
from torch import Tensor

from pyg_fsar.kernels import takes_operators, warp, warp_backward, warp_total

__all__ = ["aligned_cells", "check_band", "check_smoothing", "least_cost"]


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


def check_band(band: SupportsIndex | None) -> int | None:
    """Refuse what is no radius of a band.

    Raises:
        TypeError: If it is neither a whole number nor None.
        ValueError: If it is negative.
    """
    if band is None:
        return None
    if isinstance(band, bool) or not isinstance(band, SupportsIndex):
        raise TypeError(f"band must be a whole number of frames, or None, got {band!r}")
    radius = operator.index(band)
    if radius < 0:
        raise ValueError(f"band must not be negative, got {radius}; use None for no band")
    return radius


def least_cost(
    cost: Tensor,
    n: Tensor,
    m: Tensor,
    gamma: float,
    free_ends: bool = False,
    band: int | None = None,
) -> Tensor:
    """The operator :func:`~pyg_fsar.kernels.warp`, or without a gradient
    :func:`~pyg_fsar.kernels.warp_total`, on any batch shape.

    Shapes:
        - **cost:** ``[..., N, M]``
        - **n**, **m:** ``[...]``
        - **output:** ``[...]``

    Raises:
        RuntimeError: Within a transform of ``torch.func``, which would lose the gradient.
    """
    if not takes_operators():
        raise RuntimeError(
            "alignments do not work within transforms of torch.func; take gradients of them with "
            "torch.autograd.grad or backward"
        )
    problem = _pairs(cost), n.flatten(), m.flatten(), gamma, free_ends, band
    with_gradient = torch.is_grad_enabled() and cost.requires_grad
    total = warp(*problem)[0] if with_gradient else warp_total(*problem)
    return total.view_as(n)


def aligned_cells(
    cost: Tensor,
    n: Tensor,
    m: Tensor,
    gamma: float,
    free_ends: bool = False,
    band: int | None = None,
) -> Tensor:
    """Gradient of :func:`least_cost` for the costs.

    Shapes:
        - **cost:** ``[..., N, M]``
        - **n**, **m:** ``[...]``
        - **output:** ``[..., N, M]``
    """
    n, m = n.flatten(), m.flatten()
    total, weights = warp(_pairs(cost), n, m, gamma, free_ends, band)
    cells = warp_backward(torch.ones_like(total), weights, n, m, *cost.shape[-2:], band)
    return cells.view(cost.shape)


def _pairs(cost: Tensor) -> Tensor:
    return cost.flatten(0, -3) if cost.dim() > 2 else cost[None]
