"""Alignment in time and view at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from pyg_fsar.kernels import exporting, refuse_overflow
from pyg_fsar.matching.aligners.lengths import (
    PairLengths,
    can_refuse,
    clean_pairs,
    view_lengths,
)
from pyg_fsar.matching.aligners.views import soft_minimum
from pyg_fsar.matching.aligners.warping import check_size, check_smoothing
from pyg_fsar.nn.models.multi_view import AZIMUTHS, check_azimuths

__all__ = ["JEANIE", "jeanie"]

# Stands for an infinite cost: differences of finite numbers are never NaN. From half of it on, a
# total went through a forbidden cell, or cannot be told from one that did.
FORBIDDEN = 1e30
BOUND = FORBIDDEN / 2


@dataclass(frozen=True)
class JEANIE:
    """:func:`jeanie` as an aligner, with its options.

    :class:`~pyg_fsar.FewShotModel` sees by ``azimuths`` that the matcher compares views, and
    encodes them, see :class:`~pyg_fsar.matching.MultiViewMatcher`. Called with costs that have no
    axis of views, it sees one, and is soft-DTW.

    Args:
        gamma: Smoothing of the minimum.
        azimuths: Angles of the views in degrees, one of them 0, in the order in which a path goes
            from one to the next.

    Raises:
        TypeError: If ``gamma`` requires a gradient.
        ValueError: If ``gamma`` is not positive, or as :class:`~pyg_fsar.nn.MultiView`.

    Example:
        >>> matcher = build_matcher("jeanie", azimuths=(-30, 0, 30))
        >>> clips = torch.randn(4, 8, 15, 3)
        >>> matcher(clips[:2], torch.arange(2), clips).shape
        torch.Size([4, 2])
    """

    gamma: float = 0.1
    azimuths: tuple[float, ...] = AZIMUTHS

    def __post_init__(self) -> None:
        check_smoothing("gamma", self.gamma)
        object.__setattr__(self, "azimuths", check_azimuths(self.azimuths))

    def __call__(self, cost: Tensor, lengths: PairLengths | None = None) -> Tensor:
        """Distances of pairs of clips from the costs ``[..., N, M]`` of a single view."""
        return jeanie(cost.unsqueeze(-3), self.gamma, lengths)

    def over_views(self, cost: Tensor, lengths: PairLengths | None = None) -> Tensor:
        """Distances of pairs of clips; see :func:`jeanie`."""
        return jeanie(cost, self.gamma, lengths)


def jeanie(cost: Tensor, gamma: float = JEANIE.gamma, lengths: PairLengths | None = None) -> Tensor:
    r"""Joint alignment in time and view of "Meet JEANIE: a Similarity Measure for 3D Skeleton
    Sequences via Temporal-Viewpoint Alignment" (IJCV 2024).

    A path begins at both first frames in any view of the query and ends at both last frames in any
    view; with every step in time, which are those of soft-DTW, the view stays or becomes one of its
    two neighbours:

    .. math::
        r_{k,i,j} = d_{k,i,j} + \min\nolimits_\gamma \big\{ r_{k+v,i-1,j-1}, r_{k+v,i-1,j},
        r_{k+v,i,j-1} : v \in \{-1, 0, 1\} \big\}

    The distance is the soft minimum of :math:`r_{k,N,M}` over the views :math:`k`. With one view it
    is :func:`~pyg_fsar.matching.soft_dtw`.

    The recursion is plain PyTorch, one step for each anti-diagonal in time, for all pairs, views
    and cells of it at once, accumulated in float64; its gradient is exact. What lies beyond the
    true lengths is never read and gets no gradient. An infinite cost forbids a cell; a pair without
    any path costs infinity and gets no gradient.

    Args:
        cost: Frame costs of every view.
        gamma: Smoothing of the minimum.
        lengths: True lengths ``(n, m)`` of padded pairs, each broadcastable to the batch shape.

    Shapes:
        - **cost:** ``[..., K, N, M]``
        - **output:** ``[...]``

    Raises:
        TypeError: If the cost is not floating point, lengths are not integers, or ``gamma``
            requires a gradient, which it would not get.
        ValueError: If ``gamma`` is not positive, there is no view, a shape or length does not fit,
            there are more than 8192 x 8192 cells, or a graph is exported for any number of frames.
        FloatingPointError: On the CPU, if finite costs of a pair may add up to more than 5e29
            ``gamma``, which cannot be told from infinity.
    """
    gamma = check_smoothing("gamma", gamma)
    cost, n, m = clean_pairs(cost, view_lengths(cost, lengths))
    check_size(cost)
    rows, columns = cost.shape[-2:]
    if isinstance(rows + columns, torch.SymInt) and exporting():
        raise ValueError(
            "jeanie takes one step of its recursion for each frame, so a graph of it is for one "
            "number of frames; export it with any_frames=False"
        )
    wide = cost.dtype if cost.device.type == "mps" else torch.float64
    # In units of gamma the soft minimum needs no further scaling.
    cells = (cost.to(wide) / gamma).clamp(-FORBIDDEN, FORBIDDEN)
    # Row i is shifted by i: column d then holds the anti-diagonal i + j = d.
    skewed = pad(cells, (0, rows), value=FORBIDDEN).flatten(-2)[..., :-rows]
    diagonals = skewed.unflatten(-1, (rows, rows + columns - 1)).unbind(-1)  # [..., K, N] each
    totals = [diagonals[0]]
    earlier = torch.full_like(diagonals[0], FORBIDDEN)
    for step in diagonals[1:]:
        last = totals[-1]
        in_time = _soft_minimum(_shifted(earlier, -1), _shifted(last, -1), last)
        in_view = _soft_minimum(in_time, _shifted(in_time, -2), _shifted(in_time, -2, back=True))
        totals.append(step + in_view)
        earlier = last
    ends = torch.stack(totals, dim=-1).flatten(-2)  # [..., K, N * (N + M - 1)]
    place = (n - 1) * (rows + columns - 1) + n + m - 2
    total = soft_minimum(ends.gather(-1, place[..., None]).squeeze(-1), 1.0)
    total = total.masked_fill(total >= BOUND, math.inf).masked_fill(total <= -BOUND, -math.inf)
    if can_refuse(total) and total.isinf().any():
        _refuse_overflow(cost, n, m, gamma, total)
    return (gamma * total).to(cost.dtype)


def _refuse_overflow(cost: Tensor, n: Tensor, m: Tensor, gamma: float, total: Tensor) -> None:
    """Refuse infinite totals of finite costs, by the largest cost of any view in each cell."""
    numbers = cost.detach().masked_fill(cost == math.inf, 0)
    low, high = numbers.amin(dim=-3), numbers.amax(dim=-3)
    largest = torch.where(high >= -low, high, low).reshape(-1, *cost.shape[-2:])
    pairs = n[..., 0].flatten(), m[..., 0].flatten()
    refuse_overflow(largest, *pairs, gamma, total.flatten(), band=None)


def _soft_minimum(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    # Nearly twice as fast as logsumexp of their stack. The result does not depend on `least`.
    least = x.minimum(y).minimum(z).detach()
    return least - ((least - x).exp() + (least - y).exp() + (least - z).exp()).log()


def _shifted(x: Tensor, dim: int, back: bool = False) -> Tensor:
    """Moved along an axis by one, with forbidden cells at the border."""
    size = x.size(dim) - 1
    border = (0, 0) * (-dim - 1) + ((0, 1) if back else (1, 0))
    return pad(x.narrow(dim, int(back), size), border, value=FORBIDDEN)
