"""The one switch of all fast paths: kernels, and convolutions with operators of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from pyg_fsar.kernels.compiled import DTYPES, compiled
from pyg_fsar.kernels.exporting import exporting

__all__ = [
    "WARP_FUNCTIONS",
    "WARP_SOURCE",
    "forced_backend",
    "missing",
    "takes_cpu_operators",
    "takes_operators",
    "use_backend",
]

BACKENDS = ("vectorised", "cpp", "triton")
VARIABLE = "PYG_FSAR_KERNELS"
WARP_SOURCE = Path(__file__).parent / "warp" / "warp.cpp"
WARP_FUNCTIONS = tuple(
    f"{name}_{dtype}" for name in ("warp", "spread") for dtype in DTYPES.values()
)

_forced: ContextVar[str | None] = ContextVar("forced_backend", default=None)


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Compute everything inside with one backend, for tests and comparisons.

    ``"vectorised"`` is PyTorch's own operators and nothing else: no compiled kernel and no operator
    of this package for convolutions runs. The others choose the backend of alignments, and leave
    the remaining fast paths on. What ``torch.compile`` has traced keeps the choice of then.

    Args:
        name: ``"cpp"``, ``"triton"`` or ``"vectorised"``.

    Raises:
        ValueError: If there is no backend of that name.
        RuntimeError: If it cannot run here; the message says what it lacks.
    """
    if name not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {name!r}")
    lacks = missing(name)
    if lacks:
        raise RuntimeError(f"the {name} backend cannot run here: {lacks}")
    token = _forced.set(name)
    try:
        yield
    finally:
        _forced.reset(token)


# The value is a constant to torch.compile, which cannot trace context variables.
@torch.compiler.assume_constant_result
def forced_backend() -> str | None:
    """Backend named by :func:`use_backend`; ``"vectorised"`` if ``PYG_FSAR_KERNELS=off`` is set in
    the environment, and while ``torch.export`` traces, whose readers know PyTorch's operators
    alone; or None, if the choice is open.

    Raises:
        ValueError: If the variable has another value than ``on`` and ``off``.
    """
    if _switched_off() or exporting():
        return "vectorised"
    return _forced.get()


def _switched_off() -> bool:
    value = os.environ.get(VARIABLE, "on")
    if value.lower() not in ("on", "off"):
        raise ValueError(f"{VARIABLE} must be on or off, got {value!r}")
    return value.lower() == "off"


def missing(name: str) -> str:
    """What a backend lacks to run here, and the cure; empty if nothing."""
    if name != "vectorised" and _switched_off():
        return f"{VARIABLE}=off is set; unset it"
    if name == "triton":
        if find_spec("triton") is None:
            return "Triton is not installed; `pip install triton`"
        if not hasattr(import_module("triton.language"), "gather"):
            return f"it needs Triton 3.3, this is {import_module('triton').__version__}"
    if name == "cpp" and compiled(WARP_SOURCE, WARP_FUNCTIONS) is None:
        return "there is no C++ compiler that works; install one or set CXX to it"
    return ""


def takes_operators() -> bool:
    """Whether operators of this package may be used: not within transforms of ``torch.func``, which
    know only PyTorch's.
    """
    return not torch._C._are_functorch_transforms_active()


def takes_cpu_operators(*tensors: Tensor) -> bool:
    """Whether operators of this package for the CPU may take these tensors: all float32 or all
    float64, outside autocast and transforms, with nothing switched off.
    """
    first = tensors[0]
    return (
        first.device.type == "cpu"
        and takes_operators()
        and not torch.is_autocast_enabled("cpu")
        and first.dtype in DTYPES
        and all(tensor.dtype == first.dtype for tensor in tensors)
        and forced_backend() != "vectorised"
    )
