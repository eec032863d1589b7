"""A context manager for evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["evaluation_mode"]


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode; on exit each submodule returns to the mode it was in.

    Args:
        module: Any module.
    """
    in_training = [part for part in module.modules() if part.training]
    if in_training:
        module.eval()
    try:
        yield
    finally:
        for part in in_training:
            part.training = True
