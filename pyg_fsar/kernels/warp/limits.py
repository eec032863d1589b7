"""Costs that the recursion cannot tell from infinity."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_fsar.kernels.warp.vectorised import BOUND, in_band

__all__ = ["refuse_overflow"]


def refuse_overflow(
    cost: Tensor, n: Tensor, m: Tensor, gamma: float, total: Tensor, band: int | None
) -> None:
    """Check that each infinite total comes from infinite costs: that the pair has no path.

    Shapes:
        - **cost:** ``[B, N, M]``
        - **n**, **m**, **total:** ``[B]``

    Raises:
        FloatingPointError: If it comes from finite costs, or from minus infinity.
    """
    pairs = total.isinf().nonzero().flatten()
    total, cost, n, m = total[pairs], cost[pairs], n[pairs], m[pairs]
    row = torch.arange(cost.size(1), device=cost.device)[:, None]
    column = torch.arange(cost.size(2), device=cost.device)
    read = (row < n[:, None, None]) & (column < m[:, None, None])
    if band is not None:
        read &= in_band(n, m, cost.size(1), cost.size(2), band)
    finite = cost.masked_fill(~(read & cost.isfinite()), 0)
    largest = finite.flatten(1).abs().amax(dim=1)
    bound = BOUND * (gamma or 1.0)
    wrong = ((largest.double() * (n + m) >= bound) | (total < 0)).nonzero()
    if wrong.numel():
        number = int(wrong[0])
        values = cost[number][read[number]]
        extreme = values.min() if total[number] < 0 else finite[number].max()
        raise FloatingPointError(
            f"pair {int(pairs[number])} has a frame cost of {extreme:.3g}, "
            f"which adds up to more than smoothing {gamma:g} can tell from infinity ({bound:.3g}); "
            "check the clips and weights for numbers that exploded, or scale costs down"
        )
