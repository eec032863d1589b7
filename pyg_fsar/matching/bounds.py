"""Lower bounds of the distances of clips, which are quicker than the distances."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.linalg import vector_norm

__all__ = ["BoundTerms", "LowerBounds", "unit_vectors"]


# As CosineCost.
EMPTY = 1e-8


class BoundTerms(NamedTuple):
    r"""A distance of two clips that is a sum of an alignment and of a part without time:

    .. math::
        d(x, y) = s \, \mathrm{dtw}(\|f_i - g_j\|^2) + w \, (1 - \langle v, u \rangle)

    Args:
        frames: Vectors :math:`f` of the frames, whose squared distances are the frame costs, or
            more than that.
        lengths: True numbers of frames.
        vectors: Vectors :math:`v` of the clips, of norm 1 or zero; None if there is no such part.
        weight: Its weight :math:`w`.
        per_frame: Whether :math:`s` is :math:`2 / (T + T')` and not 1.

    Shapes:
        - **frames:** ``[B, T, D]``
        - **lengths:** ``[B]``
        - **vectors:** ``[B, P]``

    Example:
        >>> BoundTerms(torch.randn(4, 8, 6), torch.full((4,), 8)).frames.shape
        torch.Size([4, 8, 6])
    """

    frames: Tensor
    lengths: Tensor
    vectors: Tensor | None = None
    weight: float = 0.0
    per_frame: bool = False


class LowerBounds:
    r"""Two lower bounds of the distances to given clips.

    The first is the part without time, one inner product a pair. The second adds the alignment of
    frames that are projected on the few directions in which frames vary most, beside which they
    have the norm of what is lost: by the triangle inequality in the orthogonal complement,
    :math:`\|f - g\|^2 \ge \|P f - P g\|^2 + (\|f - P f\| - \|g - P g\|)^2`, and the least sum along
    a path does not grow where no cost does. It plays the part of LB_Keogh (Keogh & Ratanamahatana,
    2005), whose envelope without a band would be that of the whole clip.

    Bounds are lowered by a little more than rounding errors may raise them.

    Args:
        aligner: From costs and lengths to distances, which must not fall where a cost rises.
        terms: The clips that are searched.
        num_directions: Number of directions.

    Raises:
        ValueError: If the number is not positive.

    Example:
        >>> matcher = build_matcher("dtw", shots="nearest")
        >>> clips = EmbeddedClips(embeddings)
        >>> bounds = LowerBounds(matcher.aligner, matcher.bound_terms(clips))
        >>> bound = bounds.of_frames(matcher.bound_terms(clips[[0]]), torch.arange(4))
        >>> bool((bound <= matcher.pair_distances(clips[[0]], clips)[0]).all())
        True
    """

    def __init__(
        self, aligner: Callable[..., Tensor], terms: BoundTerms, num_directions: int = 8
    ) -> None:
        if num_directions < 1:
            raise ValueError(f"num_directions must be at least 1, got {num_directions}")
        self.aligner, self.terms = aligner, terms
        frames = terms.frames.flatten(0, 1)
        self.mean = frames.mean(dim=0)
        centred = frames - self.mean
        # In double precision, since single may not converge where directions are alike.
        _, directions = torch.linalg.eigh((centred.T @ centred).double())  # ascending
        self.directions = directions[:, -num_directions:].to(frames)
        self.projected = self._project(terms.frames)
        self.squares = self.projected.square().sum(dim=-1)
        self.ragged = bool((terms.lengths != terms.frames.size(1)).any())
        # Of the size of rounding errors of a sum of costs.
        self.slack = 1e-5 * float(frames.square().sum(dim=1).mean()) * (
            1 if terms.per_frame else terms.frames.size(1)
        )  # fmt: skip

    def of_vectors(self, query: BoundTerms) -> Tensor:
        """The first bound of one query to all clips, ``[B]``."""
        if query.vectors is None or self.terms.vectors is None:
            return torch.zeros(len(self.projected), device=self.projected.device)
        return self._lowered(query.weight * (1 - self.terms.vectors @ query.vectors[0]))

    def of_frames(self, query: BoundTerms, rows: Tensor) -> Tensor:
        """The second bound of one query to some clips, ``[len(rows)]``."""
        n, m = query.lengths, self.terms.lengths[rows]
        own, other = self._project(query.frames)[0], self.projected[rows].flatten(0, 1)
        cost = torch.addmm(self.squares[rows].flatten(), own, other.T, alpha=-2)
        cost = (cost + own.square().sum(dim=-1, keepdim=True)).clamp_min(0)
        cost = cost.unflatten(1, (len(rows), -1)).transpose(0, 1).contiguous()
        ragged = self.ragged or int(n) != query.frames.size(1)
        course = self.aligner(cost, lengths=(n.expand_as(m), m) if ragged else None)
        if query.per_frame:
            course = course * 2 / (n + m)
        return self._lowered(course) + self.of_vectors(query)[rows]

    def _lowered(self, bounds: Tensor) -> Tensor:
        return bounds * (1 - 1e-4) - self.slack

    def _project(self, frames: Tensor) -> Tensor:
        centred = frames - self.mean
        projected = centred @ self.directions
        lost = vector_norm(centred - projected @ self.directions.T, dim=-1, keepdim=True)
        return torch.cat([projected, lost], dim=-1)


def unit_vectors(x: Tensor) -> Tensor:
    """Vectors along the last axis with norm 1; zero where a cosine counts them as empty."""
    x = x if x.dtype == torch.float64 else x.float()
    norm = vector_norm(x, dim=-1, keepdim=True)
    return x / norm.masked_fill(norm <= EMPTY, torch.inf)
