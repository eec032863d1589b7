"""Normalisation of joints."""

from collections.abc import Callable

from torch import nn

from pyg_fsar.nn.norm.pair_norm import PairNorm

__all__ = ["NORMS", "PairNorm"]

#: Norms by name, as encoders and :class:`~pyg_fsar.training.ModelOptions` take them; a further one
#: is a further line. Each makes a module on ``[*, V, C]``.
NORMS: dict[str, Callable[..., nn.Module]] = {"pairnorm": PairNorm}
