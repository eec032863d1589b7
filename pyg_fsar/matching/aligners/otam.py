"""Ordered temporal alignment."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from pyg_fsar.matching.aligners.lengths import PairLengths, check_cost, clean_pairs

__all__ = ["otam"]


def otam(cost: Tensor, lam: float = 0.1, lengths: PairLengths | None = None) -> Tensor:
    r"""OTAM of "Few-Shot Video Classification via Temporal Alignment" (CVPR 2020), both directions
    summed: a path may begin and end at any frame of the one clip while it goes through all of
    the other.

    With a zero column before the first and after the last frame of the second clip,

    .. math::
        r_{i,j} = d_{i,j} - \lambda \log \big( e^{-r_{i-1,j-1} / \lambda} +
        e^{-r_{i,j-1} / \lambda} \big)

    and at the first and last column also :math:`r_{i-1,j}`; row 0 is a running sum.

    Args:
        cost: Frame costs.
        lam: Smoothing of the minimum.
        lengths: True lengths ``(n, m)`` of padded pairs, each broadcastable to the batch shape.

    Shapes:
        - **cost:** ``[..., N, M]``
        - **output:** ``[...]``

    Raises:
        TypeError: If the cost is not floating point or lengths are not integers.
        ValueError: If ``lam`` is not positive, or a shape or length does not fit.
    """
    if not 0 < lam < math.inf:
        raise ValueError(f"lam must be a positive number, got {lam}")
    cost, n, m = clean_pairs(check_cost(cost), lengths)
    score = -cost / lam
    return -lam * (_one_way(score, n, m) + _one_way(score.mT, m, n))


def _one_way(score: Tensor, n: Tensor, m: Tensor) -> Tensor:
    """Log of the summed weights of all paths that go through every column.

    The border columns are linear recurrences along the rows with closed forms: the first is a
    cumulative sum, and of the last only the end is needed, which counts each row of the column
    before it twice, save the pair's last row.
    """
    total = score[..., 0].cumsum(-1)
    column = total + pad(math.log(2) - total[..., :-1], (1, 0)).logcumsumexp(-1)
    columns = [column]
    for step in score.unbind(-1)[1:]:
        moved = torch.logaddexp(column[..., 1:], column[..., :-1])
        column = step + torch.cat([column[..., :1], moved], dim=-1)
        columns.append(column)
    end = (m - 1)[..., None, None].expand(*score.shape[:-1], 1)
    column = torch.stack(columns, dim=-1).gather(-1, end).squeeze(-1)
    row = torch.arange(score.size(-2), device=score.device)
    count = math.log(2) * (row < n[..., None] - 1)
    return (column + count).masked_fill(row >= n[..., None], -torch.inf).logsumexp(-1)
