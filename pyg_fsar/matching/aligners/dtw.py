"""Dynamic time warping with the hard minimum."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pyg_fsar.matching.aligners.lengths import PairLengths, clean_pairs
from pyg_fsar.matching.aligners.warping import aligned_cells, check_band, least_cost

__all__ = ["DTW", "dtw", "dtw_path"]


@dataclass(frozen=True)
class DTW:
    """:func:`dtw` as an aligner, with its options.

    Args:
        band: Radius of a Sakoe-Chiba band in frames; no band if not given.

    Raises:
        TypeError: If ``band`` is not an integer.
        ValueError: If ``band`` is negative.

    Example:
        >>> distances = DTW(band=5)(torch.rand(2, 3, 8, 8))
        >>> distances.shape
        torch.Size([2, 3])
    """

    band: int | None = None

    def __post_init__(self) -> None:
        check_band(self.band)

    def __call__(self, cost: Tensor, lengths: PairLengths | None = None) -> Tensor:
        """Distances of pairs of clips; see :func:`dtw`."""
        return dtw(cost, lengths, self.band)


def dtw(cost: Tensor, lengths: PairLengths | None = None, band: int | None = None) -> Tensor:
    r"""Cost of the cheapest path that starts at both first frames, ends at both last ones, and
    advances by one frame in the query, the support or both.

    Its gradient is 1 on the cells of :func:`dtw_path` and 0 elsewhere; second and forward-mode
    derivatives are refused. A pair without any path costs infinity and gets no gradient. Time and
    memory grow with :math:`N M`; with a band, time grows with :math:`N` times its width.

    With a ``band`` :math:`r`, frames :math:`i` of the query and :math:`j` of the support meet only
    if :math:`|j - i| \le r`, as in "Dynamic Programming Algorithm Optimization for Spoken Word
    Recognition" (Sakoe & Chiba, IEEE TASSP 1978). Between clips of :math:`n` and :math:`m` frames
    it is :math:`\min(0, m - n) - r \le j - i \le \max(0, m - n) + r`, which always leaves a path.

    Args:
        cost: Frame costs; infinity forbids a cell.
        lengths: True lengths ``(n, m)`` of padded pairs, each broadcastable to the batch shape.
        band: Radius of a Sakoe-Chiba band in frames; no band if not given.

    Shapes:
        - **cost:** ``[..., N, M]``
        - **output:** ``[...]``

    Raises:
        TypeError: If the cost is not floating point or lengths or band are not integers.
        ValueError: If ``band`` is negative, a shape or length does not fit, or there are more than
            8192 x 8192 cells and no band.
        FloatingPointError: On the CPU, if finite costs of a pair may add up to more than 5e29,
            which cannot be told from infinity.
    """
    return least_cost(*clean_pairs(cost, lengths), gamma=0.0, band=check_band(band))


def dtw_path(cost: Tensor, band: int | None = None) -> Tensor:
    r"""Cheapest path through one cost matrix, as pairs of frames from ``(0, 0)`` to
    ``(N - 1, M - 1)``; empty if there is none. Of equally cheap steps it takes the diagonal.

    Args:
        cost: Frame costs; infinity forbids a cell.
        band: Radius of a Sakoe-Chiba band, as for :func:`dtw`; no band if not given.

    Shapes:
        - **cost:** ``[N, M]``
        - **output:** ``[L, 2]`` int64

    Raises:
        TypeError: If the cost is not floating point or ``band`` is not an integer.
        ValueError: If the cost is not one matrix with at least one row and column, or ``band`` is
            negative.
    """
    if cost.dim() != 2:
        raise ValueError(f"dtw_path takes one cost matrix [N, M], got shape {tuple(cost.shape)}")
    # A path only ever goes on in both indices, so its cells in reading order are the path.
    cells = aligned_cells(*clean_pairs(cost.detach(), None), gamma=0.0, band=check_band(band))
    return cells.nonzero()
