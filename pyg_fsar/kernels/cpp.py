"""Dynamic time warping in C++: the backend for the CPU."""

from __future__ import annotations

from ctypes import CDLL, c_double, c_int, c_int64, c_void_p
from functools import cache

import torch
from torch import Tensor

from pyg_fsar.kernels.compiled import compiled
from pyg_fsar.kernels.vectorised import NO_WEIGHTS

__all__ = ["backward", "forward", "library", "weights_shape"]

FUNCTIONS = {torch.float32: "warp_float32", torch.float64: "warp_float64"}
# As the source numbers them.
OUT_OF_MEMORY, BAD_LENGTH = 1, 2


def forward(
    cost: Tensor, n: Tensor, m: Tensor, gamma: float, free_ends: bool, keep_weights: bool
) -> tuple[Tensor, Tensor]:
    """Accumulated costs, and as weights their gradients; see ``warp``.

    Shapes:
        - **cost:** ``[B, N, M]``
        - **n**, **m:** ``[B]`` int64
        - **output:** ``[B]`` and ``[B, N, M]``, or ``[0]``

    Raises:
        ValueError: If the cost is not a CPU tensor in float32 or float64, or a length lies
            outside it.
        RuntimeError: If the library could not be compiled.
        MemoryError: If there is no memory for the working arrays.
    """
    if cost.device.type != "cpu" or cost.dtype not in FUNCTIONS:
        raise ValueError(
            "the cpp backend takes float32 and float64 on the CPU, "
            f"got {cost.dtype} on {cost.device}; leave the choice of backend open"
        )
    functions = library()
    if functions is None:
        raise RuntimeError("the cpp backend needs a C++ compiler; set CXX to one that works")
    cost, n, m = cost.contiguous(), n.contiguous(), m.contiguous()
    total = cost.new_empty(len(cost))
    # Where there is nothing to keep, this is the null pointer, and C++ computes no alignment.
    alignment = cost.new_empty(weights_shape(*cost.shape) if keep_weights else NO_WEIGHTS)
    status = getattr(functions, FUNCTIONS[cost.dtype])(
        *(array.data_ptr() for array in (cost, n, m, total, alignment)),
        *cost.shape,
        gamma,
        free_ends,
        torch.get_num_threads(),
    )
    if status == BAD_LENGTH:
        raise ValueError(f"lengths must lie in 1..{cost.size(1)} and 1..{cost.size(2)}")
    if status == OUT_OF_MEMORY:
        raise MemoryError(f"not enough memory to align pairs of {tuple(cost.shape[1:])} frames")
    return total, alignment


def backward(
    grad: Tensor, weights: Tensor, n: Tensor, m: Tensor, rows: int, columns: int
) -> Tensor:
    """Gradient for the costs; see ``warp_backward``.

    The forward pass has made the gradients of its values already: while what they follow from is
    still in the cache, they take less time than a trip of it to memory and back.

    Shapes:
        - **grad:** ``[B]``
        - **weights:** ``[B, N, M]``
        - **n**, **m:** ``[B]`` int64
        - **output:** ``[B, N, M]``
    """
    return grad[:, None, None] * weights


def weights_shape(pairs: int, rows: int, columns: int) -> tuple[int, ...]:
    """Shape of the weights that :func:`forward` makes."""
    return pairs, rows, columns


@cache
def library() -> CDLL | None:
    """The functions of ``warp.cpp``; None where they cannot be compiled."""
    functions = compiled("warp")
    if functions is not None:
        for name in FUNCTIONS.values():
            function = getattr(functions, name)
            function.argtypes = [c_void_p] * 5 + [c_int64] * 3 + [c_double, c_int, c_int]
    return functions
