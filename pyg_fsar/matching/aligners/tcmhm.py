"""Bidirectional mean Hausdorff metric with temporal consistency."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from pyg_fsar.matching.aligners.bimhm import bimhm
from pyg_fsar.matching.aligners.lengths import PairLengths, check_total, clean_pairs, outside

__all__ = ["TCMHM", "tcmhm"]


@dataclass(frozen=True)
class TCMHM:
    """:func:`tcmhm` as an aligner, with its options.

    Args:
        consistency: Weight of temporal consistency.

    Raises:
        ValueError: If ``consistency`` is negative or not finite.

    Example:
        >>> distances = TCMHM(consistency=0.1)(torch.rand(2, 3, 8, 8))
        >>> distances.shape
        torch.Size([2, 3])
    """

    consistency: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.consistency < math.inf:
            raise ValueError(
                f"consistency must be 0 or more and finite, got {self.consistency}; with 0 it is "
                "bimhm"
            )

    def __call__(self, cost: Tensor, lengths: PairLengths | None = None) -> Tensor:
        """Distances of pairs of clips; see :func:`tcmhm`."""
        return tcmhm(cost, self.consistency, lengths)


def tcmhm(
    cost: Tensor, consistency: float = TCMHM.consistency, lengths: PairLengths | None = None
) -> Tensor:
    r"""Bidirectional Hausdorff metric with temporal consistency of ESR-MM (TIM 2024) and FICAMA:
    :func:`~pyg_fsar.matching.bimhm`, and a penalty of costs that change from one query frame to the
    next:

    .. math::
        \frac{1}{2} \Big( \frac{1}{N} \sum_i \min_j d_{i,j} +
        \frac{1}{M} \sum_j \min_i d_{i,j} \Big) + \frac{w}{N M} \sum_{i,j} \Big(
        \max(0, d_{i,j} - d_{i-1,j}) + \max(0, d_{i,j} - d_{i+1,j}) \Big)

    with the first and the last row repeated at the borders. The sum is that of
    :math:`|d_{i,j} - d_{i-1,j}|`, in which form it is computed.

    Args:
        cost: Frame costs.
        consistency: Weight :math:`w` of the penalty, 0.1 in public code.
        lengths: True lengths ``(n, m)`` of padded pairs, each broadcastable to the batch shape.

    Shapes:
        - **cost:** ``[..., N, M]``
        - **output:** ``[...]``

    Raises:
        TypeError: If the cost is not floating point or lengths are not integers.
        ValueError: If ``consistency`` is negative or not finite, or a shape or length does not fit.
        FloatingPointError: On the CPU, if the distance of finite costs is too large for its dtype.
    """
    TCMHM(consistency)  # refuses what is out of range
    cost, n, m = clean_pairs(cost, lengths)
    # What stays infinite does not change; its difference would be NaN.
    change = cost.diff(dim=-2).abs().masked_fill(cost[..., 1:, :] == cost[..., :-1, :], 0)
    if lengths is not None:  # a step needs both of its frames
        change = change.masked_fill(outside(change, n - 1, m), 0)
    cells = (n * m).to(cost)
    total = bimhm(cost, lengths) + consistency * change.sum(dim=(-2, -1)) / cells
    return check_total(total, cost.flatten(-2))
