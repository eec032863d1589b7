"""Penalties of embeddings by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from pyg_fsar.nn.rank_max import RankMax

__all__ = ["PENALTIES"]

#: Regularisers of embeddings by name, as :class:`~pyg_fsar.training.ModelOptions` takes them; a
#: further one is a further line. Each maps embedded frames ``[..., V, C]`` to a scalar.
PENALTIES: dict[str, Callable[..., nn.Module]] = {"rankmax": RankMax}
