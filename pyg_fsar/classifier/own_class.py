"""Distances of clips to their own class, as if there were no other one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pyg_fsar.data import EmbeddedClips
from pyg_fsar.matching import SHOTS, Matcher, MotionMatcher

__all__ = ["Compare", "OwnClass", "PairwiseOwnClass"]

#: From support, queries and the number of classes to distances ``[Q, N]``.
Compare = Callable[[EmbeddedClips, EmbeddedClips, int], Tensor]

# Clips that are compared with the queries of all of them, since a call takes as long as some pairs;
# cells of alignments that are computed at once.
BLOCK, CELLS = 8, 2**24


class OwnClass:
    """Compares clips with supports of one class, by any matcher.

    Args:
        compare: Distances of queries to classes.
    """

    def __init__(self, compare: Compare) -> None:
        self.compare = compare

    def to_clips(self, query: EmbeddedClips, clips: EmbeddedClips) -> Tensor:
        """Distance of each query to a class of one clip.

        Args:
            query: As many consecutive queries for each clip.
            clips: The clips.

        Shapes:
            - **output:** ``[Q]``
        """
        each = len(query) // len(clips)
        parts = [
            self._to_class(clips[n : n + 1], query[n * each : (n + 1) * each])
            for n in range(len(clips))
        ]
        return torch.cat(parts)

    def leave_one_out(self, clips: EmbeddedClips) -> Tensor:
        """Distance of each clip to the class of all others, of which there is one at least.

        Shapes:
            - **output:** ``[B]``
        """
        numbers = torch.arange(len(clips), device=clips.x.device)
        parts = [self._to_class(clips[numbers != n], clips[n : n + 1]) for n in range(len(clips))]
        return torch.cat(parts)

    def _to_class(self, clips: EmbeddedClips, query: EmbeddedClips) -> Tensor:
        y = torch.zeros(len(clips), dtype=torch.long, device=clips.x.device)
        return self.compare(clips.with_y(y), query.with_y(None), 1)[:, 0]


class PairwiseOwnClass(OwnClass):
    """The same up to rounding by distances of pairs, without a call of the matcher for every clip.

    Args:
        matcher: One that :meth:`suits`.
    """

    def __init__(self, matcher: nn.Module) -> None:
        self.matcher: Any = matcher

    @staticmethod
    def suits(matcher: nn.Module) -> bool:
        """Whether distances to a class are those to its clips, or the mean or least of them."""
        kind: Any = matcher
        return (
            type(matcher) in (Matcher, MotionMatcher)  # a subclass may do something else
            and SHOTS[kind.shots].reduce is not None
            and getattr(kind, "joint_shrinkage", None) is None
        )

    def to_clips(self, query: EmbeddedClips, clips: EmbeddedClips) -> Tensor:
        """As of the base class."""
        each, parts = len(query) // len(clips), []
        for start in range(0, len(clips), BLOCK):
            block = clips[start : start + BLOCK]
            pairs = self._pairs(query[start * each : (start + BLOCK) * each], block)
            parts.append(pairs.unflatten(0, (len(block), each)).diagonal(dim1=0, dim2=2).mT)
        return torch.cat(parts).flatten()

    def leave_one_out(self, clips: EmbeddedClips) -> Tensor:
        """As of the base class."""
        count = len(clips)
        size = max(1, CELLS // (count * clips.x.size(1) ** 2))
        parts = [self._pairs(clips[n : n + size], clips) for n in range(0, count, size)]
        # Each row without the clip itself.
        others = ~torch.eye(count, dtype=torch.bool, device="cpu")
        distances = torch.cat(parts)[others].view(count, count - 1)
        if SHOTS[self.matcher.shots].reduce == "mean":
            return distances.mean(dim=1)
        return distances.amin(dim=1)

    def _pairs(self, query: EmbeddedClips, clips: EmbeddedClips) -> Tensor:
        """Distances ``[Q, B]``, in double precision on the CPU."""
        options = {}
        if isinstance(self.matcher, MotionMatcher) and self.matcher.skeleton is not None:
            # Mirror images count unless they are near to another class, which is not there.
            options["mirrored"] = torch.ones(len(clips), dtype=torch.bool, device=clips.x.device)
        return self.matcher.pair_distances(query, clips, **options).cpu().double()
