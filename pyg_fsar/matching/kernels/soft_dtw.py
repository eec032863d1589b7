r"""The recursion of dynamic time warping, hard and soft, and its backward.

All pairs advance together, one anti-diagonal at a time. The forward pass keeps the weight of each
of the three predecessors of a cell; the backward pass is then a plain linear recursion, which is
faster and in float32 far more accurate than recomputing those weights from accumulated costs.

Arrays are *skewed*: ``[N + M - 1, N, B]`` holds cell ``(i, j)`` of pair ``b`` at ``[i + j, i, b]``,
so that an anti-diagonal and its shifts by one row are contiguous blocks.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op, register_autograd, register_fake

__all__ = ["warp", "warp_backward"]

# Stands for an infinite cost: sums of it stay finite in float32, so differences are never NaN.
FORBIDDEN = 1e30
# Shares of an alignment below this count as none.
NEGLIGIBLE = 1e-30


@custom_op(
    "pyg_fsar::warp",
    mutates_args=(),
    schema="(Tensor cost, Tensor n, Tensor m, float gamma) -> (Tensor, Tensor)",
)
def warp(cost: Tensor, n: Tensor, m: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """Accumulated cost of warping each pair from its first cell to cell ``(n - 1, m - 1)``.

    Args:
        cost: Frame costs, all finite except that infinity forbids a cell.
        n: Number of rows of each pair.
        m: Number of columns of each pair.
        gamma: Smoothing of the minimum; 0 is the hard minimum, which of equal predecessors takes
            the diagonal first.

    Shapes:
        - **cost:** ``[B, N, M]``
        - **n**, **m:** ``[B]`` int64
        - **output:** ``[B]``, and the skewed predecessor weights ``[3, N + M - 1, N, B]`` that
          :func:`warp_backward` takes, in the order diagonal, up, left
    """
    pairs, rows, columns = cost.shape
    # In units of gamma the soft minimum needs no further scaling.
    unit = gamma or 1.0
    scaled = cost.new_empty(rows + columns - 1, rows, pairs)
    _cells(scaled, columns).copy_(cost).div_(unit).clamp_(-FORBIDDEN, FORBIDDEN)
    # One row and two diagonals of border: infinity, but zero before the first cell.
    total = cost.new_full((rows + columns + 1, rows + 1, pairs), torch.inf)
    total[0, 0] = 0
    weights = cost.new_zeros(3, *scaled.shape)
    for d in range(rows + columns - 1):
        first, last = max(0, d - columns + 1), min(rows, d + 1)
        before = torch.stack(
            (total[d, first:last], total[d + 1, first:last], total[d + 1, first + 1 : last + 1])
        )
        weight = weights[:, d, first:last]
        if gamma:
            least = before.amin(0)
            torch.exp(least - before, out=weight)
            norm = weight.sum(0)
            weight.div_(norm)
            least -= norm.log_()
        else:
            least, choice = before.min(0)
            weight.scatter_(0, choice[None], 1)
        torch.add(scaled[d, first:last], least, out=total[d + 2, first + 1 : last + 1])
    return total[n + m, n, torch.arange(pairs, device=cost.device)] * unit, weights


@custom_op(
    "pyg_fsar::warp_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor weights, Tensor n, Tensor m) -> Tensor",
)
def warp_backward(grad: Tensor, weights: Tensor, n: Tensor, m: Tensor) -> Tensor:
    """Gradient of :func:`warp` for the costs: how much each cell counts in the alignment.

    Args:
        grad: Gradient of the accumulated cost.
        weights: Predecessor weights from :func:`warp`.
        n: Number of rows of each pair.
        m: Number of columns of each pair.

    Shapes:
        - **grad:** ``[B]``
        - **weights:** ``[3, N + M - 1, N, B]``
        - **n**, **m:** ``[B]`` int64
        - **output:** ``[B, N, M]``
    """
    _, diagonals, rows, pairs = weights.shape
    columns = diagonals - rows + 1
    cells = weights.new_zeros(diagonals, rows, pairs)
    cells[n + m - 2, n - 1, torch.arange(pairs, device=grad.device)] = grad
    for d in range(diagonals - 1, 0, -1):
        # Each diagonal hands its share to the two before it. Weights of cells without such a
        # predecessor are zero, and no block reaches beyond the array.
        first, last = max(0, d - columns + 1), min(rows, d + 1)
        below = max(first, 1)
        diagonal, up, left = weights[:, d]
        cells[d - 1, first:last].addcmul_(cells[d, first:last], left[first:last])
        cells[d - 1, below - 1 : last - 1].addcmul_(cells[d, below:last], up[below:last])
        if d > 1:
            cells[d - 2, below - 1 : last - 1].addcmul_(cells[d, below:last], diagonal[below:last])
    # What reaches a cell by many unlikely steps only is zero for all purposes, but as a denormal
    # number, itself or times something small, it makes a CPU multiply tens of times slower.
    cells.masked_fill_(cells.abs() < NEGLIGIBLE, 0)
    return _cells(cells, columns).contiguous()


@register_fake("pyg_fsar::warp")
def _(cost: Tensor, n: Tensor, m: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    pairs, rows, columns = cost.shape
    return cost.new_empty(pairs), cost.new_empty(3, rows + columns - 1, rows, pairs)


@register_fake("pyg_fsar::warp_backward")
def _(grad: Tensor, weights: Tensor, n: Tensor, m: Tensor) -> Tensor:
    _, diagonals, rows, pairs = weights.shape
    return weights.new_empty(pairs, rows, diagonals - rows + 1)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    _, n, m, _ = inputs
    ctx.save_for_backward(output[1], n, m)


def _backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None, None, None]:
    return warp_backward(grad, *ctx.saved_tensors), None, None, None


register_autograd("pyg_fsar::warp", _backward, setup_context=_save)


def _cells(skewed: Tensor, columns: int) -> Tensor:
    """View of a skewed array as ``[B, N, M]``."""
    _, rows, pairs = skewed.shape
    return skewed.as_strided((pairs, rows, columns), (1, (rows + 1) * pairs, rows * pairs))
