r"""Dynamic time warping in plain torch: the backend for any device, and the others' reference.

All pairs advance together, one anti-diagonal at a time. The forward pass keeps the weight of each
of the three predecessors of a cell; the backward pass is then a plain linear recursion, which is
faster and in float32 far more accurate than recomputing those weights from accumulated costs.

Arrays are *skewed*: ``[N + M - 1, N, B]`` holds cell ``(i, j)`` of pair ``b`` at ``[i + j, i, b]``,
so that an anti-diagonal and its shifts by one row are contiguous blocks.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["BOUND", "FORBIDDEN", "NO_WEIGHTS", "backward", "forward", "in_band", "weights_shape"]

# Stands for an infinite cost: sums of it stay finite in float32, so differences are never NaN.
FORBIDDEN = 1e30
# A total of this size, in units of gamma, went through a forbidden cell or through finite costs
# that cannot be told from one: it is returned as infinity.
BOUND = FORBIDDEN / 2
# Smaller entries of an alignment are set to zero.
NEGLIGIBLE = 1e-30
# Shape of the weights, of any backend, if none are kept.
NO_WEIGHTS = (0,)


def forward(
    cost: Tensor,
    n: Tensor,
    m: Tensor,
    gamma: float,
    free_ends: bool,
    keep_weights: bool,
    band: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Accumulated costs, and the weights of the predecessors diagonal, up, left; see ``warp``.

    Shapes:
        - **cost:** ``[B, N, M]``
        - **n**, **m:** ``[B]`` int64
        - **output:** ``[B]`` and ``[3, N + M - 1, N, B]``, or ``[0]``
    """
    pairs, rows, columns = cost.shape
    if band is not None:
        cost = cost.masked_fill(~in_band(n, m, rows, columns, band), math.inf)
    # In units of gamma the soft minimum needs no further scaling.
    unit = gamma or 1.0
    skewed = cost.new_empty(rows + columns - 1, rows, pairs)
    _cells(skewed, columns).copy_(cost)
    # Weights depend on small differences of large sums, more than float32 can tell apart.
    wide = cost.dtype if cost.device.type == "mps" else torch.float64
    # One row and two diagonals of border: infinity, but zero before the first cell.
    total = cost.new_full((rows + columns + 1, rows + 1, pairs), math.inf, dtype=wide)
    total[0, 0] = 0
    weights = cost.new_zeros(weights_shape(*cost.shape) if keep_weights else NO_WEIGHTS)
    row = torch.arange(rows, device=cost.device)[:, None]
    for d in range(rows + columns - 1):
        first, last = max(0, d - columns + 1), min(rows, d + 1)
        before = torch.stack(
            (total[d, first:last], total[d + 1, first:last], total[d + 1, first + 1 : last + 1])
        )
        if free_ends:
            column = d - row[first:last]
            before[1].masked_fill_((column > 1) & (column != m - 1), math.inf)
        weight = weights[:, d, first:last] if keep_weights else cost.new_empty(before.shape)
        if gamma:
            least = before.amin(0)
            # exp is slow where its result is denormal.
            torch.threshold_(weight.copy_(least - before), math.log(NEGLIGIBLE), -math.inf).exp_()
            norm = weight.sum(0)
            if keep_weights:
                weight.div_(norm)
            least -= norm.log_()
        elif keep_weights:
            least, choice = before.min(0)
            weight.scatter_(0, choice[None], 1)
        else:
            least = before.amin(0)
        step = skewed[d, first:last].to(wide).div(unit).clamp_(-FORBIDDEN, FORBIDDEN)
        torch.add(step, least, out=total[d + 2, first + 1 : last + 1])
    end = total[n + m, n, torch.arange(pairs, device=cost.device)]
    end = end.masked_fill(end >= BOUND, math.inf).masked_fill(end <= -BOUND, -math.inf)
    return (end * unit).to(cost.dtype), weights


def backward(
    grad: Tensor,
    weights: Tensor,
    n: Tensor,
    m: Tensor,
    rows: int,
    columns: int,
    band: int | None = None,
) -> Tensor:
    """Gradient for the costs; see ``warp_backward``.

    Shapes:
        - **grad:** ``[B]``
        - **weights:** ``[3, N + M - 1, N, B]``
        - **n**, **m:** ``[B]`` int64
        - **output:** ``[B, N, M]``
    """
    pairs = grad.numel()
    cells = weights.new_zeros(rows + columns - 1, rows, pairs)
    cells[n + m - 2, n - 1, torch.arange(pairs, device=grad.device)] = grad
    for d in range(rows + columns - 2, 0, -1):
        # Each diagonal passes its gradient on to the two before it. Weights of cells without such a
        # predecessor are zero, and no block reaches beyond the array.
        first, last = max(0, d - columns + 1), min(rows, d + 1)
        below = max(first, 1)
        diagonal, up, left = weights[:, d]
        cells[d - 1, first:last].addcmul_(cells[d, first:last], left[first:last])
        cells[d - 1, below - 1 : last - 1].addcmul_(cells[d, below:last], up[below:last])
        if d > 1:
            cells[d - 2, below - 1 : last - 1].addcmul_(cells[d, below:last], diagonal[below:last])
    # Tiny entries are or become denormal numbers, with which a CPU multiplies tens of times slower.
    alignment = torch.hardshrink(_cells(cells, columns), NEGLIGIBLE).contiguous()
    if band is None:
        return alignment
    return alignment.masked_fill(~in_band(n, m, rows, columns, band), 0)


def weights_shape(pairs: int, rows: int, columns: int) -> tuple[int, ...]:
    """Shape of the weights that :func:`forward` makes."""
    return 3, rows + columns - 1, rows, pairs


def in_band(n: Tensor, m: Tensor, rows: int, columns: int, band: int) -> Tensor:
    r"""Mask of the cells within a band about the diagonal.

    It is that of Sakoe and Chiba (IEEE TASSP 1978), :math:`|j - i| \le r`, widened for clips of
    different length as usual, so that it takes in both ends and a path is left:
    :math:`\min(0, m - n) - r \le j - i \le \max(0, m - n) + r`.

    Args:
        n: Number of rows of each pair.
        m: Number of columns of each pair.
        rows: N of the cost.
        columns: M of the cost.
        band: Radius r.

    Shapes:
        - **n**, **m:** ``[B]`` int64
        - **output:** ``[B, N, M]``
    """
    ahead = torch.arange(columns, device=n.device) - torch.arange(rows, device=n.device)[:, None]
    surplus = (m - n)[:, None, None]
    return (ahead >= surplus.clamp(max=0) - band) & (ahead <= surplus.clamp(min=0) + band)


def _cells(skewed: Tensor, columns: int) -> Tensor:
    """View of a skewed array as ``[B, N, M]``."""
    _, rows, pairs = skewed.shape
    return skewed.as_strided((pairs, rows, columns), (1, (rows + 1) * pairs, rows * pairs))
