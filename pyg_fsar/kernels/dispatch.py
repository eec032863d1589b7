"""Which backend computes an alignment: the one place that chooses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast

import torch
from torch import Tensor

from pyg_fsar.kernels.compiled import compiled

__all__ = ["backend_for", "has_kernel", "takes_operators", "use_backend"]

# Modules by the name of their backend; imported when first used, and Triton's last.
MODULES = {"vectorised": "vectorised", "cpp": "cpp", "triton": "triton_warp"}
# What kernels compute in, by the names of their functions.
DTYPES = {torch.float32: "float32", torch.float64: "float64"}


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


_forced: ContextVar[str | None] = ContextVar("forced_backend", default=None)


def backend_for(cost: Tensor) -> str:
    """Name of the backend for a cost: ``"triton"`` on CUDA, ``"cpp"`` on the CPU, each where it
    is there and takes the dtype, else ``"vectorised"``.
    """
    forced = _forced.get()
    if forced is not None:
        return forced
    if cost.dtype in DTYPES:
        if cost.is_cuda and not _missing("triton"):
            return "triton"
        if cost.device.type == "cpu" and not _missing("cpp"):
            return "cpp"
    return "vectorised"


def takes_operators() -> bool:
    """Whether operators of our own may be used: not within transforms of ``torch.func``, which only
    know PyTorch's.
    """
    return not torch._C._are_functorch_transforms_active()


def takes_cpu_operators(*tensors: Tensor) -> bool:
    """Whether operators for one of :data:`DTYPES` on the CPU may take these tensors as they are."""
    first = tensors[0]
    return (
        first.device.type == "cpu"
        and takes_operators()
        and not torch.is_autocast_enabled("cpu")
        and first.dtype in DTYPES
        and all(tensor.dtype == first.dtype for tensor in tensors)
    )


@torch.compiler.assume_constant_result
def has_kernel(name: str, channels: int, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether a C++ kernel that works on vectors of channels takes such joints.

    It does on the CPU, where there is a compiler and no other backend is forced, with channels that
    fill vector registers.

    Args:
        name: Its source, without the suffix.
        channels: Size of each joint.
        dtype: Type of the numbers.
        device: Where they are.
    """
    if device.type != "cpu" or dtype not in DTYPES or not takes_operators():
        return False
    if backend_for(torch.empty(0, dtype=dtype)) != "cpp":
        return False
    library = compiled(name)
    lanes = None if library is None else getattr(library, f"{name}_lanes")
    return lanes is not None and channels % lanes(dtype.itemsize) == 0


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Compute all alignments inside with one backend, for tests and comparisons.

    Args:
        name: ``"cpp"``, ``"triton"`` or ``"vectorised"``.

    Raises:
        ValueError: If there is no backend of that name.
        RuntimeError: If it cannot run here; the message says what it lacks.
    """
    if name not in MODULES:
        raise ValueError(f"backend must be one of {', '.join(MODULES)}, got {name!r}")
    lacks = _missing(name)
    if lacks:
        raise RuntimeError(f"the {name} backend cannot run here: {lacks}")
    token = _forced.set(name)
    try:
        yield
    finally:
        _forced.reset(token)


@cache
def module_of(name: str) -> Backend:
    """Module of a backend."""
    return cast(Backend, import_module(f"pyg_fsar.kernels.{MODULES[name]}"))


def maker_of(weights: Tensor, pairs: int, rows: int, columns: int) -> Backend:
    """Module of the backend that made these weights, which shows in their shape.

    The choice is not made anew: a backward pass may run in another thread, or after the end of a
    :func:`use_backend`.

    Raises:
        ValueError: If it was none.
    """
    for name in MODULES:
        if name != "triton" or not _missing(name):
            module = module_of(name)
            if weights.shape == module.weights_shape(pairs, rows, columns):
                return module
    raise ValueError(f"no backend makes weights of shape {tuple(weights.shape)}")


@cache
def _missing(name: str) -> str:
    """What a backend lacks to run here; empty if nothing."""
    if name == "triton":
        if find_spec("triton") is None:
            return "Triton is not installed; `pip install triton`"
        if not hasattr(import_module("triton.language"), "gather"):
            return f"it needs Triton 3.3, this is {import_module('triton').__version__}"
    if name == "cpp" and import_module("pyg_fsar.kernels.cpp").library() is None:
        return "there is no C++ compiler that works; install one or set CXX to it"
    return ""
