"""Any aligner, over several views of the query."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from pyg_fsar.matching.aligners.lengths import PairLengths, view_lengths
from pyg_fsar.matching.aligners.soft_dtw import SoftDTW
from pyg_fsar.nn.models.multi_view import AZIMUTHS, check_azimuths

__all__ = ["Views", "soft_minimum"]


@dataclass(frozen=True)
class Views:
    r"""Soft minimum over views of the query, each aligned as a whole: the free-viewpoint matching
    that "Uncertainty-DTW" and "JEANIE" (IJCV 2024) compare with.

    .. math::
        -s \log \sum_k e^{-a(d^k) / s}

    with :math:`d^k` the frame costs of view :math:`k` and any aligner :math:`a`.
    :class:`~pyg_fsar.FewShotModel` sees by ``azimuths`` that the matcher compares views, and
    encodes them, see :class:`~pyg_fsar.matching.MultiViewMatcher`. Called with costs that have no
    axis of views, it sees one.

    Args:
        inner: The aligner of each view.
        azimuths: Angles of the views in degrees, one of them 0.
        softness: Smoothing :math:`s` of the minimum over views; 0 is the hard minimum.

    Raises:
        ValueError: If ``softness`` is negative, or as :class:`~pyg_fsar.nn.MultiView`.

    Example:
        >>> matcher = build_matcher("views", azimuths=(-30, 0, 30))
        >>> clips = torch.randn(4, 8, 15, 3)
        >>> matcher(clips[:2], torch.arange(2), clips).shape
        torch.Size([4, 2])
    """

    inner: Callable[..., Tensor] = field(default_factory=SoftDTW)
    azimuths: tuple[float, ...] = AZIMUTHS
    softness: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "azimuths", check_azimuths(self.azimuths))
        if not 0 <= self.softness < math.inf:
            raise ValueError(f"softness must be 0 or more and finite, got {self.softness}")

    def __call__(self, cost: Tensor, lengths: PairLengths | None = None) -> Tensor:
        """Distances of pairs of clips from the costs ``[..., N, M]`` of a single view."""
        return self.inner(cost, lengths=lengths)

    def over_views(self, cost: Tensor, lengths: PairLengths | None = None) -> Tensor:
        """Distances of pairs of clips.

        Args:
            cost: Frame costs of every view.
            lengths: True lengths ``(n, m)`` of padded pairs, each broadcastable to the batch shape.

        Shapes:
            - **cost:** ``[..., K, N, M]``
            - **output:** ``[...]``

        Raises:
            TypeError: If the cost is not floating point, or lengths are not integers.
            ValueError: If there is no view, or as the aligner.
        """
        lengths = view_lengths(cost, lengths)
        return soft_minimum(self.inner(cost, lengths=lengths), self.softness)


def soft_minimum(x: Tensor, softness: float) -> Tensor:
    """Soft minimum over the last axis; the minimum if ``softness`` is 0.

    Shapes:
        - **x:** ``[..., K]``
        - **output:** ``[...]``
    """
    if not softness:
        return x.amin(dim=-1)
    # Not logsumexp, which torch.compile does not take with an open number of classes.
    least = x.amin(dim=-1, keepdim=True).detach()
    least = least.masked_fill(least.isinf(), 0)
    return least.squeeze(-1) - softness * ((least - x) / softness).exp().sum(dim=-1).log()
