"""The nearest class among many, without aligning a query with every clip."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from pyg_fsar.data import EmbeddedClips
from pyg_fsar.matching.bounds import LowerBounds
from pyg_fsar.matching.matcher import Matcher
from pyg_fsar.matching.motion import MotionMatcher
from pyg_fsar.matching.shots import SHOTS
from pyg_fsar.nn.hooks import has_hooks

__all__ = ["NearestSearch"]

# References that are compared first, and at a time; cells of alignments that are computed at once.
SEEDS, CHUNK, CELLS = 32, 128, 2**24


class NearestSearch:
    """Finds the nearest class of queries in a large support.

    The result is that of the matcher, up to rounding where two classes are equally near. Lower
    bounds, see :class:`~pyg_fsar.matching.LowerBounds`, leave out clips that cannot be the nearest.
    What depends on the support alone is computed once.

    Args:
        matcher: One that :meth:`suits`.
        support: Support clips with classes ``0..N-1`` as ``y``.
        n_way: Number of classes.

    Raises:
        TypeError: If the matcher does not suit.

    Example:
        >>> support = EmbeddedClips(embeddings, y=torch.tensor([0, 0, 1, 1]))
        >>> search = NearestSearch(build_matcher("dtw", shots="nearest"), support, n_way=2)
        >>> search.nearest(EmbeddedClips(embeddings[[3, 0]]))
        tensor([1, 0])
    """

    def __init__(self, matcher: nn.Module, support: EmbeddedClips, n_way: int) -> None:
        if not self.suits(matcher, support):
            raise TypeError(
                f"{type(matcher).__name__} with these options has no lower bounds; use a "
                "MotionMatcher, or a Matcher of DTW with cosine or squared Euclidean cost, with "
                "shots='nearest', and without hooks"
            )
        self.matcher = cast(Any, matcher)
        self.parts = list(matcher.modules())
        self.support, self.n_way = support, n_way
        frames = self.matcher.frames if isinstance(matcher, MotionMatcher) else self.matcher
        self.bounds = LowerBounds(frames.aligner, self.matcher.bound_terms(support))
        assert support.y is not None
        self.classes = support.y.long()
        self.mirrored: Tensor | None = None
        if isinstance(matcher, MotionMatcher) and matcher.skeleton is not None:
            self.mirrored = self._find_mirrored(matcher)

    @staticmethod
    def suits(matcher: nn.Module, support: EmbeddedClips) -> bool:
        """Whether a matcher has lower bounds, and takes the nearest example of a class. What hooks
        of it or of its parts make of costs and distances, no bound knows.
        """
        kind = cast(Any, matcher)
        return (
            type(matcher) in (Matcher, MotionMatcher)  # a subclass may do something else
            and SHOTS[kind.shots] is SHOTS["nearest"]
            and kind.bound_terms(support[:1]) is not None
            and not has_hooks(*matcher.modules())
        )

    def serves(self, matcher: nn.Module) -> bool:
        """Whether this is still what a matcher computes: it is the one of this search, no part of
        it was replaced since, and none got hooks.
        """
        return (
            matcher is self.matcher
            and list(matcher.modules()) == self.parts
            and not has_hooks(*self.parts)
        )

    def distances(self, query: EmbeddedClips, support: EmbeddedClips | None = None) -> Tensor:
        """All distances, without pruning, ``[Q, N]``.

        Args:
            query: Queries.
            support: The support with other embeddings, such as without a joint; mirror images of
                queries count for the same classes.
        """
        support = self.support if support is None else support
        cells = len(support) * support.x.size(1) * query.x.size(1)
        size = max(1, CELLS // cells)
        rows = [
            self._exact(query[start : start + size], support, self.mirrored)
            for start in range(0, len(query), size)
        ]
        rule = SHOTS["nearest"]
        return rule.class_distances(torch.cat(rows), support, self.n_way)

    def alignment_options(self, number: int) -> dict[str, bool]:
        """As of :class:`MotionMatcher`, for a class of the support."""
        if self.mirrored is None:
            return {}
        return {"mirror": bool(self.mirrored[self.classes == number].all())}

    def nearest(self, query: EmbeddedClips, limits: Tensor | None = None) -> Tensor:
        """Number of each query's nearest class among those within their limits, -1 without one.

        Args:
            query: Queries.
            limits: Largest distance at which each class counts; any if not given.

        Shapes:
            - **limits:** ``[N]``
            - **output:** ``[Q]``
        """
        if limits is None:
            limits = torch.full((self.n_way,), torch.inf, device=self.classes.device)
        limits = limits.to(self.classes.device)[self.classes]
        found = [self._row(query[[n]], limits, self.mirrored) for n in range(len(query))]
        return torch.tensor([-1 if row < 0 else int(self.classes[row]) for row in found])

    def _exact(
        self, query: EmbeddedClips, references: EmbeddedClips, mirrored: Tensor | None
    ) -> Tensor:
        if mirrored is None:
            return self.matcher.pair_distances(query, references)
        return self.matcher.pair_distances(query, references, mirrored)

    def _row(self, clip: EmbeddedClips, limits: Tensor, mirrored: Tensor | None) -> int:
        """Position of the nearest reference within its limit, -1 if there is none."""
        variants = [(self.matcher.bound_terms(clip), 1.0)]
        if mirrored is not None and bool(mirrored.any()):
            image = clip.with_x(self.matcher.mirrored(clip.x))
            variants.append((self.matcher.bound_terms(image), self.matcher.mirror_factor))

        def least(bounds: list[Tensor], rows: Tensor | slice) -> Tensor:
            if len(bounds) == 1 or mirrored is None:
                return bounds[0]
            image = variants[1][1] * bounds[1]
            return bounds[0].minimum(image.masked_fill(~mirrored[rows], torch.inf))

        first = least([self.bounds.of_vectors(terms) for terms, _ in variants], slice(None))
        first = first.masked_fill(first > limits, torch.inf)
        best, best_row = torch.inf, -1

        def compare(rows: Tensor) -> None:
            nonlocal best, best_row
            mask = None if mirrored is None else mirrored[rows]
            distances = self._exact(clip, self.support[rows], mask)[0]
            distances = distances.masked_fill(distances > limits[rows], torch.inf)
            if (smallest := float(distances.min())) > best or smallest == torch.inf:
                return
            equal = rows[distances == smallest]
            row = int(equal[self.classes[equal].argmin()])
            # As argmin, which takes the first of equal classes.
            if smallest < best or self.classes[row] < self.classes[best_row]:
                best, best_row = smallest, row

        seeds = first.topk(min(SEEDS, len(first)), largest=False).indices
        compare(seeds)
        first[seeds] = torch.inf
        rows = ((first <= best) & (first < torch.inf)).nonzero().flatten()
        if not len(rows):
            return best_row
        second = least([self.bounds.of_frames(terms, rows) for terms, _ in variants], rows)
        second = second.masked_fill(second > limits[rows], torch.inf)
        order = second.argsort()
        for part in order.split(CHUNK):
            part = part[(second[part] <= best) & (second[part] < torch.inf)]
            if not len(part):
                break
            compare(rows[part])
        return best_row

    def _find_mirrored(self, matcher: MotionMatcher) -> Tensor:
        """As :meth:`MotionMatcher.counts_mirrored`, by searching clips of other classes that are
        nearer than the gap to a mirrored one.
        """
        never = torch.zeros_like(self.classes, dtype=torch.bool)
        just_below = torch.full_like(self.support.x[:, 0, 0, 0], matcher.mirror_gap)
        just_below = just_below.nextafter(torch.zeros_like(just_below))
        near = torch.zeros(self.n_way, dtype=torch.bool, device=never.device)
        images = self.support.with_x(matcher.mirrored(self.support.x)).with_y(None)
        for row, number in enumerate(self.classes.tolist()):
            if not near[number]:
                limits = just_below.masked_fill(self.classes == number, -torch.inf)
                near[number] = self._row(images[[row]], limits, never) >= 0
        return ~near[self.classes]
