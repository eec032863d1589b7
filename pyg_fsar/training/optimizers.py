"""Optimizers by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from torch.optim import SGD, Adam, AdamW, Optimizer

__all__ = ["OPTIMIZERS", "optimizer_keywords"]

#: Optimizers by name, as :class:`~pyg_fsar.training.TrainingOptions` takes them; a further one is a
#: further line. Each is called with parameters and, by name, ``lr``, ``weight_decay`` and further
#: options of its own.
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"adam": Adam, "adamw": AdamW, "sgd": SGD}

# Set by the training loop itself.
RESERVED = {"params", "lr", "weight_decay", "fused"}


def optimizer_keywords(name: str) -> set[str]:
    """Names of the further options of an optimizer."""
    return set(inspect.signature(OPTIMIZERS[name]).parameters) - RESERVED
