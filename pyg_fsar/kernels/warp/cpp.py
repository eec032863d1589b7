"""Dynamic time warping in C++: the backend for the CPU."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import CDLL, c_double, c_int, c_int64, c_void_p
from functools import cache
from typing import cast

import torch
from torch import Tensor

from pyg_fsar.kernels.compiled import DTYPES, compiled
from pyg_fsar.kernels.switch import WARP_FUNCTIONS, WARP_SOURCE
from pyg_fsar.kernels.warp.vectorised import NO_WEIGHTS

__all__ = ["backward", "forward", "library", "weights_shape"]

# Return values of the C++ functions.
OUT_OF_MEMORY, BAD_LENGTH = 1, 2


def forward(
    cost: Tensor,
    n: Tensor,
    m: Tensor,
    gamma: float,
    free_ends: bool,
    keep_weights: bool,
    band: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Accumulated costs, and as weights their gradients; see ``warp``.

    With a band, weights are laid out as ``band.hpp`` says and not set elsewhere.

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
    if not cost.is_cpu or cost.dtype not in DTYPES:
        raise ValueError(
            "the cpp backend takes float32 and float64 on the CPU, "
            f"got {cost.dtype} on {cost.device}; leave the choice of backend open"
        )
    align = _function("warp", cost.dtype)
    pairs, rows, columns = cost.shape
    cost, n, m = cost.contiguous(), n.contiguous(), m.contiguous()
    total = cost.new_empty(pairs)
    # Where there is nothing to keep, this is the null pointer, and C++ computes no alignment.
    alignment = cost.new_empty(weights_shape(pairs, rows, columns) if keep_weights else NO_WEIGHTS)
    status = align(
        cost.data_ptr(),
        n.data_ptr(),
        m.data_ptr(),
        total.data_ptr(),
        alignment.data_ptr(),
        pairs,
        rows,
        columns,
        gamma,
        free_ends,
        _radius(band, rows, columns),
        torch.get_num_threads(),
    )
    if status == BAD_LENGTH:
        raise ValueError(f"lengths must lie in 1..{rows} and 1..{columns}")
    if status == OUT_OF_MEMORY:
        raise MemoryError(f"not enough memory to align pairs of {(rows, columns)} frames")
    return total, alignment


def backward(
    grad: Tensor,
    weights: Tensor,
    n: Tensor,
    m: Tensor,
    rows: int,
    columns: int,
    band: int | None = None,
) -> Tensor:
    """Gradient for the costs; see ``warp_backward``.

    The forward pass has computed the alignment already, while its inputs were in the processor's
    cache, so only a scale per pair is left.

    Shapes:
        - **grad:** ``[B]``
        - **weights:** ``[B, N, M]``
        - **n**, **m:** ``[B]`` int64
        - **output:** ``[B, N, M]``
    """
    if band is None:
        return grad[:, None, None] * weights
    arrays = [array.contiguous() for array in (grad, weights, n, m)]
    cells = weights.new_empty(weights.shape)
    _function("spread", weights.dtype)(
        *(array.data_ptr() for array in (*arrays, cells)),
        *weights.shape,
        _radius(band, rows, columns),
        torch.get_num_threads(),
    )
    return cells


def weights_shape(pairs: int, rows: int, columns: int) -> tuple[int, ...]:
    """Shape of the weights that :func:`forward` makes."""
    return pairs, rows, columns


@cache
def library() -> CDLL | None:
    """The functions of ``warp.cpp``; None where they cannot be compiled."""
    functions = compiled(WARP_SOURCE, WARP_FUNCTIONS)
    if functions is not None:
        sizes = [c_void_p] * 5 + [c_int64] * 3
        for dtype in DTYPES.values():
            warp, spread = (getattr(functions, f"{name}_{dtype}") for name in ("warp", "spread"))
            warp.argtypes = [*sizes, c_double, c_int, c_int64, c_int]
            spread.argtypes = [*sizes, c_int64, c_int]
    return functions


def _function(name: str, dtype: torch.dtype) -> Callable[..., int]:
    functions = library()
    if functions is None:
        raise RuntimeError("the cpp backend needs a C++ compiler; set CXX to one that works")
    return cast(Callable[..., int], getattr(functions, f"{name}_{DTYPES[dtype]}"))


def _radius(band: int | None, rows: int, columns: int) -> int:
    """As the source takes it: negative if there is none, and no wider than a cost."""
    return -1 if band is None else min(band, rows + columns)
