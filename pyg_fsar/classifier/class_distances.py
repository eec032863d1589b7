"""Distances of embedded clips to classes of examples, as fast as a matcher allows."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_fsar.classifier.own_class import OwnClass, PairwiseOwnClass
from pyg_fsar.data import EmbeddedClips
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.matching import NearestSearch
from pyg_fsar.nn.hooks import has_hooks

__all__ = ["ClassDistances", "find_search"]

# Examples from which on what depends on them alone is computed once, and lower bounds are used.
MANY_EXAMPLES = 200


def find_search(
    model: FewShotModel, support: EmbeddedClips, n_way: int, least: int | None = None
) -> NearestSearch | None:
    """A search of a support, if that is large and the matcher has lower bounds.

    Args:
        model: The model.
        support: Examples with classes ``0..N-1`` as ``y``.
        n_way: Number of classes.
        least: Number of examples that are a large support, 200 if not given.
    """
    least = MANY_EXAMPLES if least is None else least
    suits = len(support) >= least and _calls_matcher_alone(model)
    if not suits or not NearestSearch.suits(model.matcher, support):
        return None
    return NearestSearch(model.matcher, support, n_way)


class ClassDistances:
    """Distances and logits of embedded clips by a model's matcher.

    Args:
        model: The model.
        batch_size: Clips that are compared at once.
        search: A search of the support. It has no part where the matcher got hooks, or it or a part
            of it was replaced, since the search was made.
    """

    def __init__(
        self, model: FewShotModel, batch_size: int, search: NearestSearch | None = None
    ) -> None:
        self.model, self.batch_size, self._search = model, batch_size, search

    @property
    def search(self) -> NearestSearch | None:
        """The search of the support, while it is what the matcher computes."""
        search = self._search
        return search if search is not None and search.serves(self.model.matcher) else None

    @property
    def scale(self) -> float:
        """Factor between distances and minus logits; that of a matcher without one counts as 1."""
        scale = torch.as_tensor(getattr(self.model.matcher, "logit_scale", 1.0)).item()
        return scale / self.model.temperature

    def logits(self, support: EmbeddedClips, query: EmbeddedClips, n_way: int) -> Tensor:
        """Logits of queries, in double precision on the CPU.

        Args:
            support: Examples with classes ``0..N-1`` as ``y``. What :attr:`search` computed once is
                used for its own support, also with other embeddings.
            query: The clips.
            n_way: Number of classes.

        Shapes:
            - **output:** ``[Q, N]``
        """
        search, parts = self.search, []
        if search is not None and support.y is not search.support.y:
            search = None
        for first in range(0, len(query), self.batch_size):
            part = query[first : first + self.batch_size]
            if search is not None:
                parts.append(-search.distances(part, support).cpu().double() * self.scale)
            else:
                parts.append(self.model.match(support, part, n_way).cpu().double())
        return torch.cat(parts)

    def distances(self, support: EmbeddedClips, query: EmbeddedClips, n_way: int) -> Tensor:
        """Distances, as :meth:`logits`."""
        return -self.logits(support, query, n_way) / self.scale

    def own_class(self) -> OwnClass:
        """What compares examples with their own class alone."""
        if _calls_matcher_alone(self.model) and PairwiseOwnClass.suits(self.model.matcher):
            return PairwiseOwnClass(self.model.matcher)
        return OwnClass(self.distances)


def _calls_matcher_alone(model: FewShotModel) -> bool:
    """Whether a fast path may replace a call of the model: no subclass and no hook does more."""
    return type(model) is FewShotModel and not has_hooks(*model.matcher.modules())
