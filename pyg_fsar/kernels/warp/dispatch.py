"""Which backend computes an alignment: the one place that chooses."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Protocol, cast

from torch import Tensor

from pyg_fsar.kernels.compiled import DTYPES
from pyg_fsar.kernels.switch import forced_backend, missing

__all__ = ["backend_for", "maker_of", "module_of"]

# Backends by the names of their modules in this folder; imported when first used, Triton's last.
MODULES = ("vectorised", "cpp", "triton")


class Backend(Protocol):
    """What the module of a backend has. Its weights are for its own backward alone."""

    @staticmethod
    def forward(
        cost: Tensor,
        n: Tensor,
        m: Tensor,
        gamma: float,
        free_ends: bool,
        keep_weights: bool,
        band: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Accumulated costs ``[B]``, and weights, or what is empty if they are not to be kept."""

    @staticmethod
    def backward(
        grad: Tensor,
        weights: Tensor,
        n: Tensor,
        m: Tensor,
        rows: int,
        columns: int,
        band: int | None = None,
    ) -> Tensor:
        """Gradient ``[B, N, M]`` for the costs."""

    @staticmethod
    def weights_shape(pairs: int, rows: int, columns: int) -> tuple[int, ...]:
        """Shape of the weights, unlike those of all other backends."""


def backend_for(cost: Tensor) -> str:
    """Name of the backend for a cost: ``"triton"`` on CUDA, ``"cpp"`` on the CPU, each where it
    is installed and takes the dtype, else ``"vectorised"``.
    """
    forced = forced_backend()
    if forced is not None:
        return forced
    if cost.dtype in DTYPES:
        if cost.device.type == "cuda" and not missing("triton"):
            return "triton"
        if cost.device.type == "cpu" and not missing("cpp"):
            return "cpp"
    return "vectorised"


@cache
def module_of(name: str) -> Backend:
    """Module of a backend."""
    return cast(Backend, import_module(f"pyg_fsar.kernels.warp.{name}"))


def maker_of(weights: Tensor, pairs: int, rows: int, columns: int) -> Backend:
    """Module of the backend that made these weights, which their shape tells.

    The choice is not made anew: a backward pass may run in another thread, or after the end of a
    :func:`~pyg_fsar.kernels.use_backend`.

    Raises:
        ValueError: If it was none.
    """
    for name in MODULES:
        if name != "triton" or not missing(name):
            module = module_of(name)
            if weights.shape == module.weights_shape(pairs, rows, columns):
                return module
    raise ValueError(f"no backend makes weights of shape {tuple(weights.shape)}")
