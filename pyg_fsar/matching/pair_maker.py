"""Builds matchers from a frame cost and an aligner, and refuses options without effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyg_fsar.matching.costs import COSTS, ActivatedCost, FrameCost
from pyg_fsar.matching.matcher import Matcher
from pyg_fsar.matching.options import check_flag, keywords

__all__ = ["PairMaker"]


class PairMaker:
    r"""A maker of :class:`~pyg_fsar.matching.Matcher` for one pair of frame cost and aligner.

    It is called with options of the cost, the aligner and :class:`~pyg_fsar.matching.Matcher` by
    name, and with two of its own:

    - ``cost``: another frame cost, or its name in :data:`~pyg_fsar.matching.COSTS`.
    - ``activation``: compare clips after spatial activation, see
      :class:`~pyg_fsar.matching.ActivatedCost`, whose options it then takes as well.

    Args:
        cost: Class of the frame cost.
        aligner: Class of the aligner.
        **defaults: Options with another default than that of their class.

    Example:
        >>> MATCHERS["soft_dtw_l2"] = PairMaker(EuclideanCost, SoftDTW)
        >>> matcher = build_matcher("soft_dtw_l2", gamma=1.0)
    """

    def __init__(self, cost: type[FrameCost], aligner: Callable[..., Any], **defaults: Any) -> None:
        self.cost = cost
        self.aligner = aligner
        self.defaults = defaults

    def options(
        self, cost: str | FrameCost | None = None, activation: bool | None = None
    ) -> dict[str, Any]:
        """Options it takes and their defaults, given the two of its own.

        Raises:
            ValueError: If the cost is unknown.
        """
        if isinstance(cost, str) and cost not in COSTS:
            raise ValueError(f"unknown cost '{cost}'; known are {', '.join(COSTS)}")
        if cost is not None and not isinstance(cost, str | FrameCost):
            raise TypeError(
                "cost must be a name or a cost, such as 'euclidean' or EuclideanCost(), got "
                f"{cost!r:.100}"
            )
        if activation is None:
            activation = self.defaults.get("activation", False)
        check_flag("activation", activation)
        parts: list[Callable[..., Any]] = [self.aligner, Matcher]
        if not isinstance(cost, FrameCost):
            parts.append(self.cost if cost is None else COSTS[cost])
        if activation:
            parts.append(ActivatedCost)
        options: dict[str, Any] = {"cost": None, "activation": False}
        for part in parts:
            options |= {key: value for key, value in _keywords(part).items() if key not in options}
        return {key: self.defaults.get(key, value) for key, value in options.items()}

    def __call__(
        self,
        *,
        cost: str | FrameCost | None = None,
        activation: bool | None = None,
        **options: Any,
    ) -> Matcher:
        """Make the matcher.

        Raises:
            TypeError: If nothing takes an option, or it is of the wrong kind.
            ValueError: If the cost is unknown, options contradict each other, or one is out of
                range.
        """
        known = self.options(cost, activation)
        if unknown := sorted(options.keys() - known):
            hint = (
                "; heads, channels and the like need activation=True"
                if set(unknown) & _keywords(ActivatedCost).keys()
                else ""
            )
            raise TypeError(
                f"no option {', '.join(unknown)}; there are {', '.join(sorted(known))}{hint}"
            )
        given = {key: value for key, value in self.defaults.items() if key in known} | options
        given.pop("activation", None)
        activation = known["activation"] if activation is None else activation

        def take(part: Callable[..., Any]) -> dict[str, Any]:
            names = _keywords(part)
            return {key: value for key, value in given.items() if key in names}

        if not isinstance(cost, FrameCost):
            cost_class = self.cost if cost is None else COSTS[cost]
            cost = cost_class(**take(cost_class))
        if activation:
            if isinstance(cost, ActivatedCost):
                raise ValueError(
                    "activation=True contradicts a cost that activates clips itself; give one of "
                    "the two"
                )
            cost = ActivatedCost(**take(ActivatedCost), cost=cost)
        return Matcher(cost, self.aligner(**take(self.aligner)), **take(Matcher))


def _keywords(part: Callable[..., Any]) -> dict[str, Any]:
    """Options of a part; the cost and the aligner that it is made of are none."""
    return keywords(part, "cost", "aligner")
