"""Dynamic time warping, hard and soft, as two operators that ``torch.compile`` takes whole."""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.library import custom_op, define, impl, register_autograd, register_fake

from pyg_fsar.kernels.warp.dispatch import backend_for, maker_of, module_of
from pyg_fsar.kernels.warp.limits import refuse_overflow

__all__ = ["warp", "warp_backward", "warp_total"]


@custom_op(
    "pyg_fsar::warp",
    mutates_args=(),
    schema="(Tensor cost, Tensor n, Tensor m, float gamma, bool free_ends, int? band=None)"
    " -> (Tensor, Tensor)",
)
def warp(
    cost: Tensor, n: Tensor, m: Tensor, gamma: float, free_ends: bool, band: int | None = None
) -> tuple[Tensor, Tensor]:
    """Accumulated cost of warping each pair from its first cell to cell ``(n - 1, m - 1)``.

    Args:
        cost: Frame costs; infinity forbids a cell.
        n: Number of rows of each pair.
        m: Number of columns of each pair.
        gamma: Smoothing of the minimum; 0 is the hard minimum, which of equal predecessors takes
            the diagonal first.
        free_ends: Whether to step from a row to the next within a column only in the pair's
            first two columns and its last one. On a cost with a column of zeros at either end
            this is the recursion of OTAM.
        band: Radius of a band, see :func:`~pyg_fsar.kernels.warp.vectorised.in_band`; cells beyond
            it are forbidden and never read.

    Shapes:
        - **cost:** ``[B, N, M]``
        - **n**, **m:** ``[B]`` int64
        - **output:** ``[B]``, infinity without any path, and what :func:`warp_backward` takes as
          weights

    Raises:
        FloatingPointError: On the CPU, if finite costs add up to more than 5e29 gamma (5e29 for the
            hard minimum), which cannot be told from infinity. Elsewhere such totals are infinite.
    """
    return _solve(cost, n, m, gamma, free_ends, True, band)


def _solve(
    cost: Tensor,
    n: Tensor,
    m: Tensor,
    gamma: float,
    free_ends: bool,
    keep_weights: bool,
    band: int | None,
) -> tuple[Tensor, Tensor]:
    backend = module_of(backend_for(cost))
    total, weights = backend.forward(cost, n, m, gamma, free_ends, keep_weights, band)
    # Other devices would have to wait for the answer.
    if total.is_cpu and total.isinf().any():
        refuse_overflow(cost, n, m, gamma, total, band)
    return total, weights


# Autograd registration dominates the call for few short pairs; this operator has none.
define(
    "pyg_fsar::warp_total",
    "(Tensor cost, Tensor n, Tensor m, float gamma, bool free_ends, int? band=None) -> Tensor",
    tags=torch.Tag.pt2_compliant_tag,
)


def warp_total(
    cost: Tensor, n: Tensor, m: Tensor, gamma: float, free_ends: bool, band: int | None = None
) -> Tensor:
    """The accumulated cost of :func:`warp` alone, where there will be no backward pass.

    Args:
        cost: As for :func:`warp`.
        n: As for :func:`warp`.
        m: As for :func:`warp`.
        gamma: As for :func:`warp`.
        free_ends: As for :func:`warp`.
        band: As for :func:`warp`.

    Shapes:
        - **cost:** ``[B, N, M]``
        - **n**, **m:** ``[B]`` int64
        - **output:** ``[B]``

    Raises:
        ValueError: If the cost requires a gradient.
    """
    if cost.requires_grad and torch.is_grad_enabled():
        raise ValueError("warp_total has no gradient; call warp for one, or detach the cost")
    return torch.ops.pyg_fsar.warp_total.default(cost, n, m, gamma, free_ends, band)


@impl("pyg_fsar::warp_total", "default")
def _(
    cost: Tensor, n: Tensor, m: Tensor, gamma: float, free_ends: bool, band: int | None = None
) -> Tensor:
    return _solve(cost, n, m, gamma, free_ends, False, band)[0]


@custom_op(
    "pyg_fsar::warp_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor weights, Tensor n, Tensor m, int rows, int columns,"
    " int? band=None) -> Tensor",
)
def warp_backward(
    grad: Tensor,
    weights: Tensor,
    n: Tensor,
    m: Tensor,
    rows: int,
    columns: int,
    band: int | None = None,
) -> Tensor:
    """Gradient of :func:`warp` for the costs: how much each cell counts in the alignment.

    Args:
        grad: Gradient of the accumulated cost.
        weights: Second output of :func:`warp`.
        n: Number of rows of each pair.
        m: Number of columns of each pair.
        rows: N of the cost.
        columns: M of the cost.
        band: That of :func:`warp`.

    Shapes:
        - **grad:** ``[B]``
        - **n**, **m:** ``[B]`` int64
        - **output:** ``[B, N, M]``

    Raises:
        ValueError: If the weights are not from :func:`warp`.
    """
    module = maker_of(weights, grad.numel(), rows, columns)
    return module.backward(grad, weights, n, m, rows, columns, band)


@register_fake("pyg_fsar::warp")
def _(
    cost: Tensor, n: Tensor, m: Tensor, gamma: float, free_ends: bool, band: int | None = None
) -> tuple[Tensor, Tensor]:
    weights = module_of(backend_for(cost)).weights_shape(*cost.shape)
    return cost.new_empty(cost.size(0)), cost.new_empty(weights)


@register_fake("pyg_fsar::warp_total")
def _(
    cost: Tensor, n: Tensor, m: Tensor, gamma: float, free_ends: bool, band: int | None = None
) -> Tensor:
    return cost.new_empty(cost.size(0))


@register_fake("pyg_fsar::warp_backward")
def _(
    grad: Tensor,
    weights: Tensor,
    n: Tensor,
    m: Tensor,
    rows: int,
    columns: int,
    band: int | None = None,
) -> Tensor:
    return weights.new_empty(grad.size(0), rows, columns)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    cost, n, m = inputs[:3]
    ctx.save_for_backward(*output, n, m)
    # The weights get no gradient. To fill one with zeros would take as long as the alignment.
    ctx.set_materialize_grads(False)
    ctx.rows, ctx.columns = cost.shape[1:]
    ctx.band = inputs[-1]


def _backward(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    cells = None
    if grad is not None:
        total, *rest = ctx.saved_tensors
        # A pair without any path has no gradient.
        grad = grad.masked_fill(total.isinf(), 0)
        cells = warp_backward(grad, *rest, ctx.rows, ctx.columns, ctx.band)
    return cells, None, None, None, None, None


register_autograd("pyg_fsar::warp", _backward, setup_context=_save)


def _refuse_second_derivative(ctx: Any, grad: Tensor) -> NoReturn:
    raise RuntimeError(
        "alignments have no second derivative: their gradient cannot be differentiated. Leave out "
        "create_graph=True or detach the gradient; for a Hessian take finite differences of "
        "soft_alignment"
    )


register_autograd("pyg_fsar::warp_backward", _refuse_second_derivative)
