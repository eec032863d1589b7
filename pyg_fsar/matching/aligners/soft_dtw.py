"""Soft dynamic time warping."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pyg_fsar.matching.aligners.lengths import PairLengths, clean_pairs
from pyg_fsar.matching.aligners.warping import (
    aligned_cells,
    check_band,
    check_smoothing,
    least_cost,
)

__all__ = ["SoftDTW", "soft_alignment", "soft_dtw"]


@dataclass(frozen=True)
class SoftDTW:
    """:func:`soft_dtw` as an aligner, with its options.

    Args:
        gamma: Smoothing of the minimum. The default did as well as or a little better than the
            0.01 that Ma et al. (ECCV 2022) released, see the results in the documentation.
        band: Radius of a Sakoe-Chiba band in frames; no band if not given.

    Raises:
        TypeError: If ``gamma`` requires a gradient, or ``band`` is not an integer.
        ValueError: If ``gamma`` is not positive, or ``band`` is negative.

    Example:
        >>> distances = SoftDTW(gamma=0.1)(torch.rand(2, 3, 8, 8))
        >>> distances.shape
        torch.Size([2, 3])
    """

    gamma: float = 0.1
    band: int | None = None

    def __post_init__(self) -> None:
        check_smoothing("gamma", self.gamma)
        check_band(self.band)

    def __call__(self, cost: Tensor, lengths: PairLengths | None = None) -> Tensor:
        """Distances of pairs of clips; see :func:`soft_dtw`."""
        return soft_dtw(cost, self.gamma, lengths, self.band)


def soft_dtw(
    cost: Tensor,
    gamma: float = SoftDTW.gamma,
    lengths: PairLengths | None = None,
    band: int | None = None,
) -> Tensor:
    r"""Soft-DTW of "Soft-DTW: a Differentiable Loss Function for Time-Series" (ICML 2017).

    .. math::
        r_{i,j} = d_{i,j} + \min\nolimits_\gamma (r_{i-1,j-1}, r_{i-1,j}, r_{i,j-1}), \qquad
        \min\nolimits_\gamma(a) = -\gamma \log \sum_k e^{-a_k / \gamma}

    The gradient is exact; second and forward-mode derivatives are refused. Half precision is
    computed, and returned, in float32. An infinite cost forbids a
    cell; a pair without any path costs infinity and gets no gradient. Time and memory grow with
    :math:`N M`; with a band, time grows with :math:`N` times its width.

    Args:
        cost: Frame costs.
        gamma: Smoothing; as it goes to 0 the value goes to :func:`dtw`.
        lengths: True lengths ``(n, m)`` of padded pairs, each broadcastable to the batch shape.
            What lies beyond is never read, and gets no gradient.
        band: Radius of a Sakoe-Chiba band, as for :func:`dtw`; no band if not given.

    Shapes:
        - **cost:** ``[..., N, M]``
        - **output:** ``[...]``

    Raises:
        TypeError: If the cost is not floating point, lengths or band are not integers, or ``gamma``
            requires a gradient, which it would not get.
        ValueError: If ``gamma`` is not positive, ``band`` is negative, a shape or length does not
            fit, or there are more than 8192 x 8192 cells and no band.
        FloatingPointError: On the CPU, if finite costs of a pair may add up to more than 5e29
            ``gamma``, which cannot be told from infinity.
    """
    gamma, band = check_smoothing("gamma", gamma), check_band(band)
    return least_cost(*clean_pairs(cost, lengths), gamma, band=band)


def soft_alignment(
    cost: Tensor,
    gamma: float = SoftDTW.gamma,
    lengths: PairLengths | None = None,
    band: int | None = None,
) -> Tensor:
    r"""Expected alignment under soft-DTW: the probability that a path visits a cell, which is the
    gradient of :func:`soft_dtw` for the costs.

    Not differentiable: a backward through it is refused.

    Args:
        cost: Frame costs.
        gamma: Smoothing; as it goes to 0 the alignment goes to :func:`dtw_path`.
        lengths: True lengths ``(n, m)`` of padded pairs; zero beyond.
        band: Radius of a Sakoe-Chiba band, as for :func:`dtw`; zero beyond.

    Shapes:
        - **cost:** ``[..., N, M]``
        - **output:** ``[..., N, M]``

    Raises:
        TypeError: If the cost is not floating point, lengths or band are not integers, or ``gamma``
            requires a gradient, which it would not get.
        ValueError: If ``gamma`` is not positive, ``band`` is negative, a shape or length does not
            fit, or there are more than 8192 x 8192 cells and no band.
        FloatingPointError: On the CPU, if finite costs of a pair may add up to more than 5e29
            ``gamma``, which cannot be told from infinity.
    """
    gamma, band = check_smoothing("gamma", gamma), check_band(band)
    return aligned_cells(*clean_pairs(cost, lengths), gamma, band=band)
