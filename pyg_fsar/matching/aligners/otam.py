"""Ordered temporal alignment."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_fsar.matching.aligners.lengths import PairLengths, clean_pairs, outside
from pyg_fsar.matching.aligners.warping import (
    aligned_cells,
    check_size,
    check_smoothing,
    least_cost,
)

__all__ = ["OTAM", "otam", "otam_alignment"]


@dataclass(frozen=True)
class OTAM:
    """:func:`otam` as an aligner, with its options.

    Args:
        lam: Smoothing of the minimum.

    Raises:
        TypeError: If ``lam`` requires a gradient.
        ValueError: If ``lam`` is not positive.

    Example:
        >>> distances = OTAM()(torch.rand(2, 3, 8, 8))
        >>> distances.shape
        torch.Size([2, 3])
    """

    lam: float = 0.1

    def __post_init__(self) -> None:
        check_smoothing("lam", self.lam)

    def __call__(self, cost: Tensor, lengths: PairLengths | None = None) -> Tensor:
        """Distances of pairs of clips; see :func:`otam`."""
        return otam(cost, self.lam, lengths)


def otam(cost: Tensor, lam: float = OTAM.lam, lengths: PairLengths | None = None) -> Tensor:
    r"""OTAM of "Few-Shot Video Classification via Temporal Alignment" (CVPR 2020), both directions
    summed: a path may begin and end at any frame of the one clip while it goes through all of
    the other.

    With a zero column before the first and after the last frame of the second clip,

    .. math::
        r_{i,j} = d_{i,j} - \lambda \log \big( e^{-r_{i-1,j-1} / \lambda} +
        e^{-r_{i,j-1} / \lambda} \big)

    and at the first and last column also :math:`r_{i-1,j}`; row 0 is a running sum.

    The gradient is exact; second and forward-mode derivatives are refused. Half precision is
    computed, and returned, in float32.

    Args:
        cost: Frame costs.
        lam: Smoothing of the minimum.
        lengths: True lengths ``(n, m)`` of padded pairs, each broadcastable to the batch shape.
            What lies beyond is never read, and gets no gradient.

    Shapes:
        - **cost:** ``[..., N, M]``
        - **output:** ``[...]``

    Raises:
        TypeError: If the cost is not floating point, lengths are not integers, or ``lam`` requires
            a gradient, which it would not get.
        ValueError: If ``lam`` is not positive, a shape or length does not fit, or there are more
            than 8192 x 8192 cells.
        FloatingPointError: On the CPU, if finite costs of a pair may add up to more than 5e29
            ``lam``, which cannot be told from infinity.
    """
    lam = check_smoothing("lam", lam)
    cost, n, m = clean_pairs(cost, lengths)
    check_size(cost)  # before columns are added
    return _one_way(cost, n, m, lam) + _one_way(cost.mT, m, n, lam)


def otam_alignment(
    cost: Tensor, lam: float = OTAM.lam, lengths: PairLengths | None = None
) -> Tensor:
    r"""Expected alignment under OTAM: how many of its two paths, one in each direction, visit a
    cell in expectation, which is the gradient of :func:`otam` for the costs.

    Every column sums to at least 1 by the first direction and every row by the second. Not
    differentiable: a backward through it is refused.

    Args:
        cost: Frame costs.
        lam: Smoothing of the minimum.
        lengths: True lengths ``(n, m)`` of padded pairs; zero beyond.

    Shapes:
        - **cost:** ``[..., N, M]``
        - **output:** ``[..., N, M]``

    Raises:
        TypeError: If the cost is not floating point, lengths are not integers, or ``lam`` requires
            a gradient, which it would not get.
        ValueError: If ``lam`` is not positive, a shape or length does not fit, or there are more
            than 8192 x 8192 cells.
        FloatingPointError: On the CPU, if finite costs of a pair may add up to more than 5e29
            ``lam``, which cannot be told from infinity.
    """
    lam = check_smoothing("lam", lam)
    cost, n, m = clean_pairs(cost, lengths)
    check_size(cost)  # before columns are added
    cells = _cells_one_way(cost, n, m, lam) + _cells_one_way(cost.mT, m, n, lam).mT
    # A path ends in the zero column, which within a padded pair lies beyond its true frames.
    return cells.masked_fill(outside(cost, n, m), 0)


def _one_way(cost: Tensor, n: Tensor, m: Tensor, lam: float) -> Tensor:
    return least_cost(_with_zero_columns(cost), n, m + 2, lam, free_ends=True)


def _cells_one_way(cost: Tensor, n: Tensor, m: Tensor, lam: float) -> Tensor:
    cells = aligned_cells(_with_zero_columns(cost), n, m + 2, lam, free_ends=True)
    return cells[..., 1:-1]


def _with_zero_columns(cost: Tensor) -> Tensor:
    # The cost of a pair is zero beyond its true columns, so each pair gets one after its last, too.
    # Unlike padding, concatenation writes everything once, and nothing in the backward pass.
    column = cost.new_zeros(1).expand(*cost.shape[:-1], 1)
    return torch.cat([column, cost, column], dim=-1)
