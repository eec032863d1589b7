r"""Dynamic time warping in Triton: the backend for CUDA.

One program aligns one pair, with a lane for each row: step :math:`d` computes the cells
:math:`i + j = d`, cell :math:`i` in lane :math:`i`. Of the three predecessors of a cell the left
one is in its own lane and the other two are in the lane above, from one and from two steps ago. So
lanes exchange one value a step. Where a block has fewer threads than the pair has rows, Triton
gives each thread several lanes: only memory limits the length.

Lanes exchange values through ``tl.gather`` and nothing else. It is a function of its operands, so
the language settles what each lane receives. The alternatives are less sure: rows that go through
global memory rest on barriers and on when a GPU makes stores visible, and scans along the rows
add up in another order than the other backends, so that ties of the hard minimum break otherwise.

The weights are ``[B, 3, M, N]``, with cell ``(i, j)`` at ``[(i + j) % M, i]``. So neighbouring
lanes write neighbouring words, and all words are used: diagonals that share a row of this array
have no row of the cost in common.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from pyg_fsar.kernels.warp.vectorised import BOUND, FORBIDDEN, NO_WEIGHTS, in_band

__all__ = ["backward", "backward_kernel", "forward", "forward_kernel", "lanes", "weights_shape"]

_FORBIDDEN = tl.constexpr(FORBIDDEN)
_BOUND = tl.constexpr(BOUND)
# Cost of predecessors outside the matrix: above any path, but differences of it are not NaN.
_OUTSIDE = tl.constexpr(1e36)


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
        - **output:** ``[B]`` and ``[B, 3, M, N]``, or ``[0]``
    """
    pairs, rows, columns = cost.shape
    if band is not None:
        cost = cost.masked_fill(~in_band(n, m, rows, columns, band), math.inf)
    total = cost.new_empty(pairs)
    weights = cost.new_empty(weights_shape(pairs, rows, columns) if keep_weights else NO_WEIGHTS)
    # In units of gamma the soft minimum needs no further scaling. The unit is a tensor, since
    # Triton rounds Python numbers to float32.
    unit = cost.new_full((), gamma or 1.0, dtype=torch.float64)
    with torch.cuda.device_of(cost):
        forward_kernel[(pairs,)](
            total,
            weights,
            cost.contiguous(),
            n.contiguous(),
            m.contiguous(),
            unit,
            rows,
            columns,
            HARD=gamma == 0,
            FREE_ENDS=free_ends,
            KEEP_WEIGHTS=keep_weights,
            **lanes(rows),
        )
    return total, weights


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
        - **weights:** ``[B, 3, M, N]``
        - **n**, **m:** ``[B]`` int64
        - **output:** ``[B, N, M]``
    """
    cells = weights.new_empty(grad.numel(), rows, columns)
    with torch.cuda.device_of(weights):
        backward_kernel[(grad.numel(),)](
            cells,
            grad.contiguous(),
            weights.contiguous(),
            n.contiguous(),
            m.contiguous(),
            rows,
            columns,
            **lanes(rows),
        )
    return cells if band is None else cells.masked_fill_(~in_band(n, m, rows, columns, band), 0)


def weights_shape(pairs: int, rows: int, columns: int) -> tuple[int, ...]:
    """Shape of the weights that :func:`forward` makes."""
    return pairs, 3, columns, rows


def lanes(rows: int) -> dict[str, Any]:
    """Lanes for so many rows, and how Triton spreads them."""
    count = triton.next_power_of_2(rows)
    # One warp shifts by shuffles alone, without a barrier, but needs the square of the lanes per
    # thread of them. Loads are not staged ahead: a step waits for the one before, not for memory.
    return {"LANES": count, "num_warps": max(1, min(8, count // 64)), "num_stages": 1}


# Rows and columns differ from episode to episode and must not compile the kernels anew. Offsets
# that grow with the whole batch or with N * M are int64.
@triton.jit(do_not_specialize=["rows", "columns"])
def forward_kernel(  # type: ignore[no-untyped-def]
    total_out,
    weights_out,
    cost,
    n_of_pair,
    m_of_pair,
    unit_of_all,
    rows,
    columns,
    HARD: tl.constexpr,
    FREE_ENDS: tl.constexpr,
    KEEP_WEIGHTS: tl.constexpr,
    LANES: tl.constexpr,
):
    """One pair of clips per program: its total, and what the backward pass needs."""
    pair = tl.program_id(0).to(tl.int64)
    n = tl.load(n_of_pair + pair).to(tl.int32)
    m = tl.load(m_of_pair + pair).to(tl.int32)
    unit = tl.load(unit_of_all)
    scale = 1.0 / unit
    dtype = cost.dtype.element_ty
    plane = rows.to(tl.int64) * columns
    cost += pair * plane
    weights_out += pair * plane * 3

    lane = tl.arange(0, LANES)
    row = lane.to(tl.int64)
    above = tl.maximum(lane - 1, 0)
    # Weights depend on small differences of large sums, more than float32 can tell apart. The
    # differences themselves it can hold, so powers and logarithms, slow in float64, stay in the
    # dtype of the cost.
    before = tl.full((LANES,), _OUTSIDE, tl.float64)
    diagonal = tl.where(lane == 0, 0.0, before)
    for d in range(n + m - 1):
        column = d - lane
        live = (lane < n) & (column >= 0) & (column < m)
        step = tl.load(cost + row * columns + column, mask=live, other=0.0) * scale
        # Comparisons, unlike a minimum, let a cost that is not a number through to the total.
        step = tl.where(step > _FORBIDDEN, _FORBIDDEN, step)
        step = tl.where(step < -_FORBIDDEN, -_FORBIDDEN, step)

        left = before
        higher = tl.where(lane == 0, _OUTSIDE, tl.gather(before, above, 0))
        up = higher
        if FREE_ENDS:
            up = tl.where((column <= 1) | (column == m - 1), up, _OUTSIDE)
        least = tl.minimum(diagonal, up, propagate_nan=tl.PropagateNan.ALL)
        least = tl.minimum(least, left, propagate_nan=tl.PropagateNan.ALL)
        if HARD:
            by_diagonal = (diagonal == least).to(dtype)
            by_up = (up == least).to(dtype) * (1 - by_diagonal)
            by_left = 1 - by_diagonal - by_up
        else:
            by_diagonal = tl.exp((least - diagonal).to(dtype))
            by_up = tl.exp((least - up).to(dtype))
            by_left = tl.exp((least - left).to(dtype))
            norm = by_diagonal + by_up + by_left
            by_diagonal /= norm
            by_up /= norm
            by_left /= norm
            least -= tl.log(norm)

        if KEEP_WEIGHTS:
            at = weights_out + (d % columns) * rows.to(tl.int64) + row
            tl.store(at, by_diagonal, mask=live)
            tl.store(at + plane, by_up, mask=live)
            tl.store(at + 2 * plane, by_left, mask=live)
        # What is above this step's cells is diagonally before the next step's.
        diagonal = higher
        before = tl.where(live, step + least, _OUTSIDE)
    before = tl.where(before >= _BOUND, float("inf"), before)
    before = tl.where(before <= -_BOUND, -float("inf"), before)
    tl.store(total_out + pair + lane * 0, before * unit, mask=lane == n - 1)


@triton.jit(do_not_specialize=["rows", "columns"])
def backward_kernel(  # type: ignore[no-untyped-def]
    cells_out,
    grad,
    weights,
    n_of_pair,
    m_of_pair,
    rows,
    columns,
    LANES: tl.constexpr,
):
    """One pair of clips per program: the gradient for its costs."""
    pair = tl.program_id(0).to(tl.int64)
    n = tl.load(n_of_pair + pair).to(tl.int32)
    m = tl.load(m_of_pair + pair).to(tl.int32)
    plane = rows.to(tl.int64) * columns
    cells_out += pair * plane
    weights += pair * plane * 3

    lane = tl.arange(0, LANES)
    row = lane.to(tl.int64)
    below = tl.minimum(lane + 1, LANES - 1)
    nothing = tl.zeros((LANES,), weights.dtype.element_ty)
    # The gradient starts at the last cell, and each cell passes it on to its predecessors: to the
    # left at once, to the lane above through `rising`, diagonally after one more step.
    last = tl.where(lane == n - 1, tl.load(grad + pair), nothing)
    staying, rising, waiting = nothing, nothing, nothing
    for back in range(rows + columns - 1):
        d = rows + columns - 2 - back
        column = d - lane
        cell = staying + tl.where(lane == LANES - 1, 0.0, tl.gather(rising, below, 0))
        cell = tl.where(d == n + m - 2, cell + last, cell)
        inside = (lane < rows) & (column >= 0) & (column < columns)
        tl.store(cells_out + row * columns + column, cell, mask=inside)

        live = (lane < n) & (column >= 0) & (column < m)
        at = weights + (d % columns) * rows.to(tl.int64) + row
        rising = waiting + cell * tl.load(at + plane, mask=live, other=0.0)
        waiting = cell * tl.load(at, mask=live, other=0.0)
        staying = cell * tl.load(at + 2 * plane, mask=live, other=0.0)
