"""Libraries of the fused kernels, and whether they take a tensor."""

from __future__ import annotations

from ctypes import CDLL
from pathlib import Path

import torch

from pyg_fsar.kernels.compiled import DTYPES, compiled
from pyg_fsar.kernels.switch import forced_backend, takes_operators

__all__ = ["has_kernel", "library"]


def library(name: str) -> CDLL | None:
    """Functions of a fused kernel; None where they cannot be compiled.

    Args:
        name: Its source in this folder, without the suffix.
    """
    passes = tuple(
        f"{name}_{way}_{dtype}" for way in ("forward", "backward") for dtype in DTYPES.values()
    )
    return compiled(Path(__file__).with_name(f"{name}.cpp"), (f"{name}_lanes", *passes))


@torch.compiler.assume_constant_result
def has_kernel(name: str, channels: int, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether a fused kernel takes such joints: on the CPU, where there is a compiler and kernels
    are not switched off, with channels that fill vector registers.

    Args:
        name: As for :func:`library`.
        channels: Size of each joint.
        dtype: Type of the numbers.
        device: Where they are.
    """
    if device.type != "cpu" or dtype not in DTYPES or not takes_operators():
        return False
    if forced_backend() == "vectorised":
        return False
    functions = library(name)
    return (
        functions is not None
        and channels % getattr(functions, f"{name}_lanes")(dtype.itemsize) == 0
    )
