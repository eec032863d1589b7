"""Maker of matchers that compare a query in several views."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any

from pyg_fsar.matching.aligners import ALIGNERS, Views
from pyg_fsar.matching.costs import CosineCost, FrameCost
from pyg_fsar.matching.matcher import Matcher
from pyg_fsar.matching.options import keywords
from pyg_fsar.matching.pair_maker import PairMaker

__all__ = ["ViewsMaker"]


class ViewsMaker(PairMaker):
    """Makes a matcher by :class:`~pyg_fsar.matching.Views` of any cost and any aligner.

    It has one more option than :class:`~pyg_fsar.matching.PairMaker`: ``inner``, the name of the
    aligner of each view in :data:`~pyg_fsar.matching.ALIGNERS`, whose options it then takes as
    well.

    Example:
        >>> matcher = build_matcher("views", inner="dtw")
        >>> clips = torch.randn(4, 8, 15, 3)
        >>> matcher(clips[:2], torch.arange(2), clips).shape
        torch.Size([4, 2])
    """

    def __init__(self) -> None:
        super().__init__(CosineCost, Views)

    def options(
        self,
        cost: str | FrameCost | None = None,
        activation: bool | None = None,
        inner: str = "soft_dtw",
    ) -> dict[str, Any]:
        """Options it takes and their defaults."""
        return _maker(inner).options(cost, activation) | {"inner": inner}

    def __call__(self, *, inner: str = "soft_dtw", **options: Any) -> Matcher:
        """Make the matcher; errors as for :class:`~pyg_fsar.matching.PairMaker`, and ValueError if
        the aligner is unknown.
        """
        return _maker(inner)(**options)


def _maker(inner: str) -> PairMaker:
    if inner not in ALIGNERS:
        raise ValueError(f"unknown aligner '{inner}'; known are {', '.join(ALIGNERS)}")
    return PairMaker(CosineCost, _views_of(ALIGNERS[inner]))


def _views_of(aligner: Callable[..., Any]) -> Callable[..., Views]:
    """A function that makes views of an aligner from the options of both."""
    own = keywords(Views, "inner")

    def make(**options: Any) -> Views:
        of_views = {key: options.pop(key) for key in own if key in options}
        return Views(aligner(**options), **of_views)

    parameters = {**signature(aligner).parameters, **signature(Views).parameters}
    del parameters["inner"]
    named = [p.replace(kind=Parameter.KEYWORD_ONLY) for p in parameters.values()]
    make.__signature__ = signature(make).replace(parameters=named)  # type: ignore[attr-defined]
    return make
