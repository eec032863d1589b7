"""Several matchers as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyg_fsar.data import EmbeddedClips
from pyg_fsar.matching.base import DistanceMatcher, match, matcher_penalty
from pyg_fsar.matching.multi_view import views_of
from pyg_fsar.matching.options import keywords

__all__ = ["MixtureMaker", "MixtureMatcher"]

# What a mixture is of unless told otherwise: one matcher that keeps the order of frames and one
# that does not.
DEFAULT = ("soft_dtw", "tcmhm")


class MixtureMatcher(DistanceMatcher):
    r"""Margin-weighted mixture of matchers, after FICAMA: each counts for a query as far as it
    tells the nearest class from the next.

    The distances :math:`d` of a query to the classes by a matcher become

    .. math::
        \hat d_n = \frac{d_n - \min_k d_k}{\max_k d_k - \min_k d_k} ,

    their margin is the second smallest of them, as the smallest is 0, and the distances of the
    mixture are the mean over matchers, weighted by the softmax of their margins. So they depend on
    which classes there are: the nearest class of a matcher has 0, however far it is. With a single
    class all are 0. :class:`~pyg_fsar.FewShotClassifier` can thus tell no unknown clips by them,
    nor find actions in recordings.

    Logits of a ``scale`` of 1, as in public code, span at most 1, so that cross entropy could
    hardly fall; hence the default.

    Args:
        matchers: At least one module with the forward of
            :class:`~pyg_fsar.matching.DistanceMatcher`;
            :func:`~pyg_fsar.matching.build_matcher` also takes names. Their scales cancel out.
        scale: Logits are distances times ``-scale``.
        learn_scale: Train the scale, which stays positive.

    Raises:
        ValueError: If there is no matcher, one compares views or has a learned scale, which would
            have no effect, or ``scale`` is not positive.
        TypeError: If one is not a module.

    Example:
        >>> matcher = build_matcher("mixture", matchers=("soft_dtw", "tcmhm", MotionMatcher()))
    """

    relative = True

    def __init__(
        self, matchers: Sequence[nn.Module], scale: float = 10.0, learn_scale: bool = False
    ) -> None:
        super().__init__(scale, learn_scale)
        if not matchers:
            raise ValueError("a mixture needs at least one matcher")
        for matcher in matchers:
            if not isinstance(matcher, nn.Module):
                raise TypeError(
                    f"matchers must be modules, got {matcher!r:.60}; build_matcher('mixture', "
                    "matchers=...) takes names as well"
                )
            if views_of(matcher) is not None:
                raise ValueError(
                    "a mixture sees one view of each clip; leave out matchers of views"
                )
            if getattr(matcher, "log_scale", None) is not None:
                raise ValueError(
                    f"the learned scale of {type(matcher).__name__} has no effect in a mixture, "
                    "which brings all distances to one range; learn that of the mixture"
                )
        self.matchers = nn.ModuleList(matchers)

    @property
    def compiles_with_n_way(self) -> bool:
        """Whether a matcher needs ``n_way`` to compile."""
        return any(getattr(matcher, "compiles_with_n_way", False) for matcher in self.matchers)

    def class_distances(self, support: EmbeddedClips, query: EmbeddedClips, n_way: int) -> Tensor:
        """Distances of queries to classes; see :class:`~pyg_fsar.matching.DistanceMatcher`."""
        logits = [match(matcher, support, query, n_way) for matcher in self.matchers]
        distances = -torch.stack(logits)  # [matchers, Q, N]
        nearest = distances.amin(dim=-1, keepdim=True)
        span = distances.amax(dim=-1, keepdim=True) - nearest
        distances = (distances - nearest) / span.masked_fill(span == 0, 1)
        first = distances.argmin(dim=-1, keepdim=True)
        margin = distances.scatter(-1, first, torch.inf).amin(dim=-1, keepdim=True)
        margin = margin.masked_fill(margin.isinf(), 0)  # there is one class only
        return (margin.softmax(dim=0) * distances).sum(dim=0)

    def pair_penalty(self, support: EmbeddedClips, query: EmbeddedClips, n_way: int) -> Tensor:
        """Sum of the matchers' penalties; see :func:`~pyg_fsar.matching.matcher_penalty`."""
        parts = [matcher_penalty(matcher, support, query, n_way) for matcher in self.matchers]
        return torch.stack(parts).sum()


class MixtureMaker:
    """Makes a :class:`MixtureMatcher` of matchers that are given by name or as modules.

    Its options are ``matchers``, those of :class:`MixtureMatcher`, and those of the matchers that
    are given by name, each of which goes to all of these that have it.

    Args:
        build: :func:`~pyg_fsar.matching.build_matcher`.
        options_of: :func:`~pyg_fsar.matching.matcher_options`.

    Example:
        >>> matcher = build_matcher("mixture", matchers=("dtw", "bimhm"))
        >>> matcher(embeddings[:2], torch.arange(2), embeddings).shape
        torch.Size([4, 2])
    """

    def __init__(
        self, build: Callable[..., nn.Module], options_of: Callable[..., dict[str, Any]]
    ) -> None:
        self.build = build
        self.options_of = options_of

    def options(
        self, matchers: str | Sequence[str | nn.Module] = DEFAULT, **given: Any
    ) -> dict[str, Any]:
        """Options it takes and their defaults, given some of them."""
        own = {"matchers": DEFAULT, **keywords(MixtureMatcher, "matchers")}
        parts = [
            self.options_of(name, **given) for name in _parts(matchers) if isinstance(name, str)
        ]
        return {key: value for part in parts for key, value in part.items()} | own

    def __call__(
        self, *, matchers: str | Sequence[str | nn.Module] = DEFAULT, **options: Any
    ) -> MixtureMatcher:
        """Make the matcher.

        Raises:
            TypeError: If nothing takes an option, or one of ``matchers`` is no name and no module.
            ValueError: If a name is unknown, or as :class:`MixtureMatcher` and the matchers.
        """
        known = self.options(matchers, **options)
        if unknown := sorted(options.keys() - known):
            raise TypeError(f"no option {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        own = {key: options.pop(key) for key in keywords(MixtureMatcher) if key in options}
        made = []
        for part in _parts(matchers):
            if isinstance(part, str):
                names = self.options_of(part, **options)
                part = self.build(part, **{k: v for k, v in options.items() if k in names})
            made.append(part)
        return MixtureMatcher(made, **own)


def _parts(matchers: str | Sequence[str | nn.Module]) -> Sequence[Any]:
    return (matchers,) if isinstance(matchers, str | nn.Module) else matchers
