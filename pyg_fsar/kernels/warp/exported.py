"""Dynamic time warping as one loop of an exported graph, for any number of frames.

``torch.export`` takes PyTorch's operators alone, and unrolls loops of Python. Here the loop over
anti-diagonals is an operator, which ONNX has, too. There is no gradient.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_fsar.kernels.exporting import loop
from pyg_fsar.kernels.warp.vectorised import in_band

__all__ = ["exported_total"]


def exported_total(
    cost: Tensor, n: Tensor, m: Tensor, gamma: float, free_ends: bool, band: int | None
) -> Tensor:
    """Accumulated costs, as :func:`~pyg_fsar.kernels.warp_total` gives them.

    Shapes:
        - **cost:** ``[B, N, M]``
        - **n**, **m:** ``[B]`` int64
        - **output:** ``[B]``
    """
    pairs, rows, columns = cost.shape
    if band is not None:
        cost = cost.masked_fill(~in_band(n, m, rows, columns, band), math.inf)
    unit = gamma or 1.0
    diagonals = _skewed(cost.double() / unit, math.inf).movedim(-1, 0)
    column = torch.arange(columns, device=cost.device).expand(pairs, rows, columns)
    ends_only = (column > 1) & (column != m[:, None, None] - 1) & free_ends
    no_step_down = _skewed(ends_only.double(), 0.0).movedim(-1, 0) > 0
    border = diagonals[0, :, :1]
    infinite = torch.full_like(border, math.inf)

    def step(state: tuple[Tensor, Tensor], inputs: tuple[Tensor, Tensor]) -> Any:
        # A diagonal holds cell (i, d - i) at i + 1; before its first row lies the border.
        before, last = state
        diagonal, forbidden = inputs
        up = torch.where(forbidden, math.inf, last[:, :-1])
        three = torch.stack((before[:, :-1], up, last[:, 1:]))
        least = three.amin(0)
        if gamma:
            # Where no path leads, the minimum is infinite, and the difference would be NaN.
            shift = torch.where(least.isinf(), 0.0, least)
            least = shift - (shift - three).exp().sum(0).log()
        total = torch.cat((torch.full_like(last[:, :1], math.inf), diagonal + least), dim=1)
        return (last.clone(), total), total.clone()

    nothing = torch.full_like(diagonals[0], math.inf)
    start = torch.cat((torch.zeros_like(border), nothing), dim=1)
    totals = loop(step, (start, torch.cat((infinite, nothing), dim=1)), (diagonals, no_step_down))
    flat = totals.movedim(1, 0).flatten(1)
    end = flat.gather(1, ((n + m - 2) * (rows + 1) + n)[:, None])[:, 0]
    return (end * unit).to(cost.dtype)


def _skewed(cells: Tensor, fill: float) -> Tensor:
    """Cell ``(i, j)`` at ``(i, i + j)``, ``[B, N, M] -> [B, N, N + M - 1]``."""
    rows, columns = cells.size(-2), cells.size(-1)
    wide = F.pad(cells, (0, rows), value=fill).flatten(1)[:, : rows * (rows + columns - 1)]
    return wide.unflatten(1, (rows, rows + columns - 1))
