"""Dynamic time warping, hard and soft, as two operators that ``torch.compile`` takes whole."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.library import custom_op, register_autograd, register_fake

from pyg_fsar.kernels.dispatch import backend_for, maker_of, module_of
from pyg_fsar.kernels.vectorised import NO_WEIGHTS

__all__ = ["warp", "warp_backward"]


@custom_op(
    "pyg_fsar::warp",
    mutates_args=(),
    schema="(Tensor cost, Tensor n, Tensor m, float gamma, bool free_ends, bool keep_weights)"
    " -> (Tensor, Tensor)",
)
def warp(
    cost: Tensor, n: Tensor, m: Tensor, gamma: float, free_ends: bool, keep_weights: bool
) -> tuple[Tensor, Tensor]:
    """Accumulated cost of warping each pair from its first cell to cell ``(n - 1, m - 1)``.

    Args:
        cost: Frame costs, all finite except that infinity forbids a cell.
        n: Number of rows of each pair.
        m: Number of columns of each pair.
        gamma: Smoothing of the minimum; 0 is the hard minimum, which of equal predecessors takes
            the diagonal first.
        free_ends: Whether to step from a row to the next within a column only in the pair's
            first two columns and its last one. On a cost with a column of zeros at either end
            this is the recursion of OTAM.
        keep_weights: Whether there will be a backward pass. Without it there is less to do.

    Shapes:
        - **cost:** ``[B, N, M]``
        - **n**, **m:** ``[B]`` int64
        - **output:** ``[B]``, and what :func:`warp_backward` takes as weights, or ``[0]``
    """
    return module_of(backend_for(cost)).forward(cost, n, m, gamma, free_ends, keep_weights)


@custom_op(
    "pyg_fsar::warp_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor weights, Tensor n, Tensor m, int rows, int columns) -> Tensor",
)
def warp_backward(
    grad: Tensor, weights: Tensor, n: Tensor, m: Tensor, rows: int, columns: int
) -> Tensor:
    """Gradient of :func:`warp` for the costs: how much each cell counts in the alignment.

    Args:
        grad: Gradient of the accumulated cost.
        weights: Second output of :func:`warp`.
        n: Number of rows of each pair.
        m: Number of columns of each pair.
        rows: N of the cost.
        columns: M of the cost.

    Shapes:
        - **grad:** ``[B]``
        - **n**, **m:** ``[B]`` int64
        - **output:** ``[B, N, M]``

    Raises:
        ValueError: If :func:`warp` kept no weights, or these are not its own.
    """
    module = maker_of(weights, grad.numel(), rows, columns)
    return module.backward(grad, weights, n, m, rows, columns)


@register_fake("pyg_fsar::warp")
def _(
    cost: Tensor, n: Tensor, m: Tensor, gamma: float, free_ends: bool, keep_weights: bool
) -> tuple[Tensor, Tensor]:
    module = module_of(backend_for(cost))
    weights = module.weights_shape(*cost.shape) if keep_weights else NO_WEIGHTS
    return cost.new_empty(cost.size(0)), cost.new_empty(weights)


@register_fake("pyg_fsar::warp_backward")
def _(grad: Tensor, weights: Tensor, n: Tensor, m: Tensor, rows: int, columns: int) -> Tensor:
    return weights.new_empty(grad.size(0), rows, columns)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    cost, n, m = inputs[:3]
    ctx.save_for_backward(output[1], n, m)
    # No gradient reaches the weights, and one of zeros would take as long as the alignment.
    ctx.set_materialize_grads(False)
    ctx.rows, ctx.columns = cost.shape[1:]


def _backward(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    cells = None
    if grad is not None:
        cells = warp_backward(grad, *ctx.saved_tensors, ctx.rows, ctx.columns)
    return cells, None, None, None, None, None


register_autograd("pyg_fsar::warp", _backward, setup_context=_save)
