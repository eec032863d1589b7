"""Matchers by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from torch import nn

from pyg_fsar.matching.aligners import DTW, JEANIE, MHM, OTAM, TCMHM, BiMHM, Diagonal, SoftDTW
from pyg_fsar.matching.costs import CosineCost, EuclideanCost, NGMCost
from pyg_fsar.matching.dastm import DASTMMaker
from pyg_fsar.matching.koopman import KoopmanMatcher
from pyg_fsar.matching.mixture import MixtureMaker
from pyg_fsar.matching.motion import MotionMatcher
from pyg_fsar.matching.options import keywords
from pyg_fsar.matching.pair_maker import PairMaker
from pyg_fsar.matching.udtw import UDTWMatcher
from pyg_fsar.matching.views import ViewsMaker

__all__ = ["MATCHERS", "build_matcher", "matcher_options", "unknown_options"]


def matcher_options(name: str, **options: Any) -> dict[str, Any]:
    """Options that a matcher takes and their defaults.

    Args:
        name: One of :data:`MATCHERS`.
        **options: Options that are given, since ``cost`` and ``activation`` bring further ones.

    Raises:
        ValueError: If the matcher is unknown.
    """
    maker = _maker(name)
    of_maker = _options_of(maker)
    if of_maker is None:
        return keywords(maker)
    preset = maker.keywords if isinstance(maker, partial) else {}
    given, parameters = preset | options, inspect.signature(of_maker).parameters.values()
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        given = {p.name: given[p.name] for p in parameters if p.name in given}
    return of_maker(**given) | preset


def unknown_options(name: str, options: Collection[str] | dict[str, Any]) -> str:
    """What is wrong with options that a matcher does not have; empty if it takes them all.

    Args:
        name: One of :data:`MATCHERS`.
        options: Options by name.
    """
    given = dict(options) if isinstance(options, dict) else dict.fromkeys(options)
    known = matcher_options(name, **given)
    maker = _maker(name)
    parameters = inspect.signature(maker).parameters.values()
    if _options_of(maker) is None and any(p.kind is p.VAR_KEYWORD for p in parameters):
        return ""  # it takes any, and refuses what it does not know by itself
    unknown = sorted(given.keys() - known)
    if not unknown:
        return ""
    has = f"it has {', '.join(sorted(known))}" if known else "it has none"
    return f"matcher '{name}' has no option {', '.join(unknown)}; {has}"


def build_matcher(name: str, **options: Any) -> nn.Module:
    """Make the matcher of a published method.

    Args:
        name: One of :data:`MATCHERS`.
        **options: Its options, see :func:`matcher_options`. Matchers of a cost and an aligner take
            those of both (such as ``gamma`` and ``band``), those of
            :class:`~pyg_fsar.matching.Matcher` (such as ``shots``), another ``cost`` and
            ``activation``, see :class:`~pyg_fsar.matching.PairMaker`.

    Raises:
        ValueError: If the matcher or the cost is unknown, options contradict each other, or one is
            out of range.
        TypeError: If the matcher has no such option, or it is of the wrong kind.

    Example:
        >>> matcher = build_matcher("soft_dtw", gamma=0.1, shots="average")
    """
    if fault := unknown_options(name, options):
        raise TypeError(fault)
    made = _maker(name)(**options)
    if not callable(made):
        raise TypeError(
            f"the maker of matcher '{name}' made {made!r:.100}, which is no module; it must return "
            "one with the forward of DistanceMatcher"
        )
    return made


def _options_of(maker: Callable[..., nn.Module]) -> Callable[..., dict[str, Any]] | None:
    """A maker's own function of its options, if it has one."""
    return getattr(maker.func if isinstance(maker, partial) else maker, "options", None)


def _maker(name: str) -> Callable[..., nn.Module]:
    if name not in MATCHERS:
        raise ValueError(f"unknown matcher '{name}'; known are {', '.join(MATCHERS)}")
    return MATCHERS[name]


#: Makers of matchers by name; a further matcher is a further line. A maker is any callable that
#: takes options by name and returns a module with the forward of
#: :class:`~pyg_fsar.matching.DistanceMatcher`, such as a class of modules. Its keyword arguments
#: are its options, of which the scripts fill in ``channels`` with those of the encoder. Where some
#: options depend on others, it has a method ``options``, from those to all options and defaults.
MATCHERS: dict[str, Callable[..., nn.Module]] = {
    "protonet": PairMaker(EuclideanCost, Diagonal, reduce="sum"),
    "cosine": PairMaker(CosineCost, Diagonal),
    "dtw": PairMaker(CosineCost, DTW),
    "soft_dtw": PairMaker(CosineCost, SoftDTW),
    "otam": PairMaker(CosineCost, OTAM),
    "mhm": PairMaker(CosineCost, MHM),
    "bimhm": PairMaker(CosineCost, BiMHM),
    "tcmhm": PairMaker(CosineCost, TCMHM),
    "ngm": PairMaker(NGMCost, SoftDTW),
    "dastm": DASTMMaker(),
    "views": ViewsMaker(),
    "jeanie": PairMaker(CosineCost, JEANIE),
    "udtw": UDTWMatcher,
    "koopman": KoopmanMatcher,
    "mixture": MixtureMaker(build_matcher, matcher_options),
    "motion": MotionMatcher,
}
