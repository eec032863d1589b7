"""Directed mean Hausdorff metric."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_fsar.matching.aligners.lengths import (
    PairLengths,
    check_cost,
    check_total,
    outside,
    pair_lengths,
)

__all__ = ["MHM", "mhm"]


@dataclass(frozen=True)
class MHM:
    """:func:`mhm` as an aligner, which has no options.

    Example:
        >>> distances = MHM()(torch.rand(2, 3, 8, 8))
        >>> distances.shape
        torch.Size([2, 3])
    """

    def __call__(self, cost: Tensor, lengths: PairLengths | None = None) -> Tensor:
        """Distances of pairs of clips; see :func:`mhm`."""
        return mhm(cost, lengths)


def mhm(cost: Tensor, lengths: PairLengths | None = None) -> Tensor:
    r"""Mean cost of each query frame to the nearest frame of the support clip, whatever their
    order. Support frames that resemble no query frame cost nothing.

    It is one of the two directions of :func:`~pyg_fsar.matching.bimhm`, and the matching of PAINet
    as public code has it:

    .. math::
        \frac{1}{N} \sum_i \min_j d_{i,j}

    Args:
        cost: Frame costs.
        lengths: True lengths ``(n, m)`` of padded pairs, each broadcastable to the batch shape.

    Shapes:
        - **cost:** ``[..., N, M]``
        - **output:** ``[...]``

    Raises:
        TypeError: If the cost is not floating point or lengths are not integers.
        ValueError: If a shape or length does not fit.
        FloatingPointError: On the CPU, if the distance of finite costs is too large for its dtype.
    """
    cost = check_cost(cost)
    if lengths is None:
        nearest = cost.amin(-1)
        return check_total(nearest.mean(-1), nearest)
    n, m = pair_lengths(cost, lengths)
    mask = ~outside(cost, n, m)
    nearest = cost.masked_fill(~mask, torch.inf).amin(-1).masked_fill(~mask.any(-1), 0)
    return check_total(nearest.sum(-1) / n, nearest)
