"""Bidirectional mean Hausdorff metric."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pyg_fsar.matching.aligners.lengths import PairLengths, check_cost
from pyg_fsar.matching.aligners.mhm import mhm

__all__ = ["BiMHM", "bimhm"]


@dataclass(frozen=True)
class BiMHM:
    """:func:`bimhm` as an aligner, which has no options.

    Example:
        >>> distances = BiMHM()(torch.rand(2, 3, 8, 8))
        >>> distances.shape
        torch.Size([2, 3])
    """

    def __call__(self, cost: Tensor, lengths: PairLengths | None = None) -> Tensor:
        """Distances of pairs of clips; see :func:`bimhm`."""
        return bimhm(cost, lengths)


def bimhm(cost: Tensor, lengths: PairLengths | None = None) -> Tensor:
    r"""Bi-MHM of "Hybrid Relation Guided Set Matching for Few-shot Action Recognition" (CVPR 2022):
    each frame goes to the nearest of the other clip, whatever their order.

    .. math::
        \frac{1}{2} \Big( \frac{1}{N} \sum_i \min_j d_{i,j} +
        \frac{1}{M} \sum_j \min_i d_{i,j} \Big)

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
    to_support = mhm(cost, lengths)
    swapped = None if lengths is None else (lengths[1], lengths[0])
    return 0.5 * to_support + 0.5 * mhm(check_cost(cost).mT, swapped)  # their sum may overflow
