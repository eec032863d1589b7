"""A matcher for each stream of an embedding."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyg_fsar.data import EmbeddedClips
from pyg_fsar.matching.base import match, matcher_penalty
from pyg_fsar.nn.models.streams import stream_weights
from pyg_fsar.nn.pretrained import PretrainedModule

__all__ = ["MultiStreamMatcher", "match_streams"]


class MultiStreamMatcher(PretrainedModule):
    r"""Matches each stream of an embedding on its own and adds up the logits.

    Args:
        matcher: Any matcher; every stream has a copy.
        num_streams: Number of streams, ``S``, which share the channels equally.
        weights: Factor of each stream's logits; 1 if not given. The attribute of the same name may
            be set at any time and is part of the state.

    Shapes:
        - **input:** as the matcher's, with clips :math:`(B, T', V, S \, C')`
        - **output:** as the matcher's

    Raises:
        ValueError: If weights do not fit.

    Example:
        >>> matcher = MultiStreamMatcher(build_matcher("dtw"), num_streams=2, weights=(2, 1))
        >>> matcher(embeddings[:2], torch.arange(2), embeddings).shape
        torch.Size([4, 2])
    """

    def __init__(
        self, matcher: nn.Module, num_streams: int, weights: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.matchers = nn.ModuleList([matcher])
        self.matchers.extend(copy.deepcopy(matcher) for _ in range(num_streams - 1))
        self._weights = stream_weights(weights, num_streams)

    @property
    def num_streams(self) -> int:
        """Number of streams, ``S``."""
        return len(self.matchers)

    @property
    def weights(self) -> tuple[float, ...]:
        """Factor of each stream's logits."""
        return self._weights

    @weights.setter
    def weights(self, weights: Sequence[float] | None) -> None:
        self._weights = stream_weights(weights, len(self.matchers))

    def get_extra_state(self) -> Tensor:
        """The weights, for the state."""
        # The bits as integers, which no conversion of the state to another precision rounds.
        return torch.tensor(self.weights, dtype=torch.float64).view(torch.int64)

    def set_extra_state(self, state: Tensor) -> None:
        """Take the weights from the state."""
        self.weights = state.cpu().view(torch.float64).tolist()

    def forward(
        self,
        support: Tensor,
        support_y: Tensor,
        query: Tensor,
        support_lengths: Tensor | None = None,
        query_lengths: Tensor | None = None,
        n_way: int | None = None,
    ) -> Tensor:
        """Logits of the queries over the classes; arguments as for
        :class:`~pyg_fsar.matching.DistanceMatcher`.

        Raises:
            ValueError: If channels do not divide among the streams, or as the matcher.
        """
        supports = self._clips(EmbeddedClips(support, support_lengths, support_y))
        queries = self._clips(EmbeddedClips(query, query_lengths))
        each = zip(self.weights, self.matchers, supports, queries, strict=True)
        logits = [weight * match(matcher, s, q, n_way) for weight, matcher, s, q in each]
        return torch.stack(logits).sum(dim=0)

    def pair_penalty(self, support: EmbeddedClips, query: EmbeddedClips, n_way: int) -> Tensor:
        """Sum of the streams' penalties; see :func:`~pyg_fsar.matching.matcher_penalty`."""
        each = zip(self.matchers, self._clips(support), self._clips(query), strict=True)
        return torch.stack([matcher_penalty(part, s, q, n_way) for part, s, q in each]).sum()

    def split(self, embedded: Tensor) -> Tensor:
        r"""Each stream's channels.

        Shapes:
            - **embedded:** :math:`(*, S \, C')`
            - **output:** :math:`(S, *, C')`

        Raises:
            ValueError: If channels do not divide among the streams.
        """
        if embedded.size(-1) % self.num_streams:
            raise ValueError(
                f"{embedded.size(-1)} channels do not divide among {self.num_streams} streams; "
                "encode with MultiStream"
            )
        return embedded.unflatten(-1, (self.num_streams, -1)).movedim(-2, 0)

    def references(self, support: EmbeddedClips, n_way: int) -> EmbeddedClips:
        """What each stream's matcher aligns queries with, joined in the channels; see
        :meth:`pyg_fsar.matching.Matcher.references`.
        """
        each: list[Any] = list(zip(self.matchers, self._clips(support), strict=True))
        parts = [matcher.references(clips, n_way) for matcher, clips in each]
        return parts[0].with_x(torch.cat([part.x for part in parts], dim=-1))

    def align(self, query: Tensor, reference: Tensor) -> Any:
        r"""Weighted mean of the streams' alignments, as
        :meth:`pyg_fsar.matching.Matcher.align` gives them.

        Shapes:
            - **query:** :math:`(T, V, S \, C')`
            - **reference:** :math:`(T', V, S \, C')`
        """
        each = zip(self.matchers, self.split(query), self.split(reference), strict=True)
        alignments = [matcher.align(q, s) for matcher, q, s in each]  # type: ignore[operator]
        fractions = [weight / sum(self.weights) for weight in self.weights]
        means = (
            sum(fraction * value for fraction, value in zip(fractions, values, strict=True))
            for values in zip(*alignments, strict=True)
        )
        return type(alignments[0])(*means)

    def _clips(self, embedded: EmbeddedClips) -> list[EmbeddedClips]:
        return [embedded.with_x(x) for x in self.split(embedded.x)]

    def extra_repr(self) -> str:
        """Options shown by ``print``."""
        return f"weights={self.weights}"


def match_streams(
    matcher: nn.Module, num_streams: int, weights: Sequence[float] | None = None
) -> nn.Module:
    """A matcher for an encoder of several streams, made of one for a single stream.

    Args:
        matcher: Any matcher for one stream.
        num_streams: Number of streams.
        weights: Factor of each stream's logits; 1 if not given.
    """
    return MultiStreamMatcher(matcher, num_streams, weights)
