"""Dynamic time warping with the hard minimum."""

from __future__ import annotations

from torch import Tensor

from pyg_fsar.matching.aligners.lengths import PairLengths
from pyg_fsar.matching.aligners.warping import alignment, warped

__all__ = ["dtw", "dtw_path"]


def dtw(cost: Tensor, lengths: PairLengths | None = None) -> Tensor:
    r"""Cost of the cheapest path that starts at both first frames, ends at both last ones, and
    advances by one frame in the query, the support or both.

    Its gradient is 1 on the cells of :func:`dtw_path` and 0 elsewhere.

    Args:
        cost: Frame costs; infinity forbids a cell.
        lengths: True lengths ``(n, m)`` of padded pairs, each broadcastable to the batch shape.

    Shapes:
        - **cost:** ``[..., N, M]``
        - **output:** ``[...]``

    Raises:
        TypeError: If the cost is not floating point or lengths are not integers.
        ValueError: If a shape or length does not fit.
    """
    return warped(cost, 0.0, lengths)


def dtw_path(cost: Tensor) -> Tensor:
    r"""Cheapest path through one cost matrix, as pairs of frames from ``(0, 0)`` to
    ``(N - 1, M - 1)``. Of equally cheap steps it takes the diagonal.

    Shapes:
        - **cost:** ``[N, M]``
        - **output:** ``[L, 2]`` int64

    Raises:
        TypeError: If the cost is not floating point.
        ValueError: If the cost is not one matrix with at least one row and column.
    """
    if cost.dim() != 2:
        raise ValueError(f"dtw_path takes one cost matrix [N, M], got shape {tuple(cost.shape)}")
    # A path only ever goes on in both indices, so its cells in reading order are the path.
    return alignment(cost.detach(), gamma=0.0).nonzero()
