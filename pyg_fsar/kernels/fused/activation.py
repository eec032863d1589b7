"""Inner products of clips that activate each other, without storing the activated clips."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_double, c_int64, c_void_p
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.library import custom_op, register_autograd, register_fake

from pyg_fsar.kernels.compiled import DTYPES
from pyg_fsar.kernels.fused.library import library

__all__ = ["Activated", "activated_products"]


class Activated(NamedTuple):
    """Inputs of one direction of the activation; see :class:`pyg_fsar.nn.JointActivation`.

    Shapes:
        - **joints:** ``[A, T, V, C]``
        - **weights:** ``[A, B, T, V, K]``, softmaxed, of ``K`` = heads times joints
        - **values:** ``[A, T, K, C]``, or ``[B, T, K, C]`` if they are the other clip's
        - **bias:** ``[C]``, added to what the weights mix
        - **norm_weight**, **norm_bias:** ``[C]``
    """

    joints: Tensor
    weights: Tensor
    values: Tensor
    bias: Tensor
    norm_weight: Tensor
    norm_bias: Tensor


def activated_products(
    x: Activated, y: Activated, own_values: bool, dropout: float, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Inner products and norms of the frames of all pairs of activated clips.

    No activated clip is written to main memory: those of a pair are computed in the cache, and
    again in the backward pass. The dropout masks follow from a seed that torch draws, so they are
    not kept.

    Args:
        x: Query clips, paired with all of ``y``.
        y: Support clips, paired with all of ``x``.
        own_values: Whether values come from the clip that is activated.
        dropout: Fraction of weights, and of what they mix, that is dropped.
        eps: Of the layer norm.

    Shapes:
        - **output:** ``[Q, S, T, T]``, ``[Q, S, T]`` and ``[Q, S, T]``
    """
    seed = torch.randint(2**62, (), device="cpu")
    return _products([t.contiguous() for t in (*x, *y)], own_values, dropout, eps, seed)


@custom_op(
    "pyg_fsar::activated_products",
    mutates_args=(),
    schema="(Tensor[] sides, bool own_values, float dropout, float eps, Tensor seed) "
    "-> (Tensor, Tensor, Tensor)",
)
def _products(
    sides: Sequence[Tensor], own_values: bool, dropout: float, eps: float, seed: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    products = _empty_products(sides)
    _call("forward", sides, products, own_values, dropout, eps, seed)
    return products


@custom_op(
    "pyg_fsar::activated_products_backward",
    mutates_args=(),
    schema="(Tensor[] sides, Tensor[] grads, Tensor x_norm, Tensor y_norm, bool own_values, "
    "float dropout, float eps, Tensor seed) -> Tensor[]",
)
def _products_backward(
    sides: Sequence[Tensor],
    grads: Sequence[Tensor],
    x_norm: Tensor,
    y_norm: Tensor,
    own_values: bool,
    dropout: float,
    eps: float,
    seed: Tensor,
) -> list[Tensor]:
    sums = [torch.zeros_like(side) for side in sides]
    products = [grad.contiguous() for grad in grads]
    _call("backward", [*sides, *products, x_norm, y_norm], sums, own_values, dropout, eps, seed)
    return sums


def _empty_products(sides: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    queries, support, frames = sides[1].shape[:3]
    norms = sides[0].new_empty(2, queries, support, frames)
    return norms.new_empty(queries, support, frames, frames), norms[0].clone(), norms[1].clone()


def _call(
    name: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    own_values: bool,
    dropout: float,
    eps: float,
    seed: Tensor,
) -> None:
    functions = library("activation")
    if functions is None:
        raise RuntimeError("activated_products needs a C++ compiler; set CXX to one")
    function = getattr(functions, f"activation_{name}_{DTYPES[inputs[0].dtype]}")
    queries, support, frames, joints, mixed = inputs[1].shape
    sizes = queries, support, frames, joints, mixed, inputs[0].size(-1), own_values, int(seed)
    status = function(
        (c_int64 * len(sizes))(*sizes),
        (c_double * 2)(dropout, eps),
        (c_void_p * len(inputs))(*(tensor.data_ptr() for tensor in inputs)),
        (c_void_p * len(outputs))(*(tensor.data_ptr() for tensor in outputs)),
        c_int64(min(torch.get_num_threads(), queries)),
    )
    if status:
        raise MemoryError(f"not enough memory to compare clips of {frames} frames")


@register_fake("pyg_fsar::activated_products")
def _(
    sides: Sequence[Tensor], own_values: bool, dropout: float, eps: float, seed: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return _empty_products(sides)


@register_fake("pyg_fsar::activated_products_backward")
def _(sides: Sequence[Tensor], *_: Any) -> list[Tensor]:
    return [torch.empty_like(side) for side in sides]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    sides, *ctx.options, seed = inputs
    ctx.save_for_backward(*sides, *output[1:], seed)


def _backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
    *sides, x_norm, y_norm, seed = ctx.saved_tensors
    sums = _products_backward(sides, grads, x_norm, y_norm, *ctx.options, seed)
    return sums, None, None, None, None


register_autograd("pyg_fsar::activated_products", _backward, setup_context=_save)
