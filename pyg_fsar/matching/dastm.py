"""The matcher of Ma et al. (ECCV 2022)."""

from __future__ import annotations

from typing import Any

from pyg_fsar.matching.aligners import SoftDTW
from pyg_fsar.matching.costs import CosineCost, FrameCost
from pyg_fsar.matching.matcher import Matcher
from pyg_fsar.matching.options import check_flag
from pyg_fsar.matching.pair_maker import PairMaker

__all__ = ["DASTMMaker"]

# Softness of soft-DTW in the released code.
RELEASED_GAMMA = 0.01


class DASTMMaker(PairMaker):
    """Makes the matcher of Ma et al. (ECCV 2022): spatial activation, cosine cost, soft-DTW. The
    third part of the method is a penalty, ``FewShotModel(..., penalty=RankMax())``.

    It has one more option than :class:`~pyg_fsar.matching.PairMaker`: with ``as_released=True``
    the formulas of the released code are the defaults, ``gamma=0.01``, and without activation the
    divergence. To these belongs ``RankMax("fbnm")``.

    Example:
        >>> matcher = build_matcher("dastm", channels=64)
        >>> matcher(embeddings[:2], torch.arange(2), embeddings).shape
        torch.Size([4, 2])
    """

    def __init__(self) -> None:
        super().__init__(CosineCost, SoftDTW, activation=True)

    def options(
        self, cost: str | FrameCost | None = None, activation: bool | None = None
    ) -> dict[str, Any]:
        """Options it takes and their defaults."""
        return super().options(cost, activation) | {"as_released": False}

    def __call__(self, *, as_released: bool = False, **options: Any) -> Matcher:
        """Make the matcher; errors as for :class:`~pyg_fsar.matching.PairMaker`."""
        if check_flag("as_released", as_released):
            released = {"gamma": RELEASED_GAMMA, "divergence": options.get("activation") is False}
            options = released | options
        return super().__call__(**options)
