"""What evaluation asks of Fabric, for a single process without it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

__all__ = ["Local", "Runner"]


class Local:
    """One process that computes where a model is, in the model's precision.

    It has those members of :class:`lightning_fabric.Fabric` that evaluation uses.

    Args:
        model: Decides the device.
    """

    global_rank = 0
    world_size = 1
    is_global_zero = True

    def __init__(self, model: nn.Module) -> None:
        self.device = next(model.parameters(), torch.empty(0, device="cpu")).device

    def autocast(self) -> AbstractContextManager[Any]:
        """Nothing: operations run in the precision of the model."""
        return nullcontext()

    def to_device(self, value: Any) -> Any:
        """A tensor or module on the device."""
        return value.to(self.device)

    def all_reduce(self, tensor: Tensor, reduce_op: str = "mean") -> Tensor:
        """The tensor itself, since there are no other processes."""
        return tensor

    def broadcast(self, value: Any, src: int = 0) -> Any:
        """The value itself, since there are no other processes."""
        return value


#: What evaluation runs on.
Runner = Fabric | Local
