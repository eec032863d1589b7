"""Common parts of warping aligners: option checks, and the operators on any batch shape."""

from __future__ import annotations

import math
import operator
from typing import SupportsIndex

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from pyg_fsar.kernels import (
    exported_total,
    exporting,
    takes_operators,
    warp,
    warp_backward,
    warp_total,
)

__all__ = [
    "MOST_FRAMES",
    "aligned_cells",
    "check_band",
    "check_size",
    "check_smoothing",
    "least_cost",
]

#: Frames of each clip that are aligned without a band: about half a minute with gradient on a CPU.
MOST_FRAMES = 8192
# OTAM adds two columns.
MOST_CELLS = MOST_FRAMES * (MOST_FRAMES + 2)


def check_smoothing(name: str, value: float) -> float:
    """Check the smoothing of a soft minimum.

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
    """Check the radius of a band.

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
        FloatingPointError: On the CPU, if finite costs cannot be told from infinity.
        RuntimeError: Within a transform of ``torch.func`` or in forward-mode differentiation, which
            would lose the gradient.
        ValueError: If a pair has more than ``MOST_FRAMES`` squared cells and there is no band.
    """
    _check(cost, band)
    problem = _pairs(cost), n.flatten(), m.flatten(), gamma, free_ends, band
    if exporting():
        return exported_total(*problem).view_as(n)
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

    Raises:
        As :func:`least_cost`.
    """
    _check(cost, band)
    n, m = n.flatten(), m.flatten()
    total, weights = warp(_pairs(cost), n, m, gamma, free_ends, band)
    ones = torch.ones_like(total).masked_fill(total.isinf(), 0)  # without a path, no cells
    cells = warp_backward(ones, weights, n, m, *cost.shape[-2:], band)
    return cells.view(cost.shape)


def _check(cost: Tensor, band: int | None) -> None:
    """Refuse transforms that would lose a gradient, and what is too large."""
    if not takes_operators():
        raise RuntimeError(
            "alignments do not work within transforms of torch.func; take gradients of them with "
            "torch.autograd.grad or backward"
        )
    if unpack_dual(cost).tangent is not None:
        raise RuntimeError(
            "alignments have no forward-mode derivative; take gradients of them with "
            "torch.autograd.grad or backward"
        )
    check_size(cost, band)


def check_size(cost: Tensor, band: int | None = None) -> None:
    """Refuse clips that would take minutes to align.

    Raises:
        ValueError: If a pair has more than ``MOST_FRAMES`` squared cells and there is no band.
    """
    rows, columns = cost.shape[-2:]
    # While torch.export traces, the number of frames may be open.
    if not exporting() and band is None and rows * columns > MOST_CELLS:
        raise ValueError(
            f"to align {rows} x {columns} frames without a band takes time and memory in "
            "proportion to their product; give soft_dtw or dtw a band=, or resample clips to "
            f"{MOST_FRAMES} frames or less (pyg_fsar.transforms.ResampleFrames)"
        )


def _pairs(cost: Tensor) -> Tensor:
    return cost.flatten(0, -3) if cost.dim() > 2 else cost[None]
