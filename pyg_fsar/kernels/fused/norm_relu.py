"""Batch normalisation, dropout, a residual and a rectifier at once, on the CPU."""

from __future__ import annotations

from ctypes import c_double, c_int64, c_void_p
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.library import custom_op, register_autograd, register_fake

from pyg_fsar.kernels.compiled import DTYPES
from pyg_fsar.kernels.fused.library import library
from pyg_fsar.kernels.second_gradient import second_gradient

__all__ = ["norm_relu"]


def norm_relu(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor | None = None,
    dropout: float = 0.0,
    eps: float = 1e-5,
) -> tuple[Tensor, Tensor, Tensor]:
    """``relu(dropout(batch_norm(x)) + residual)`` as in training, and the statistics of ``x``.

    Each of the four alone would read and write all of its input, and memory bandwidth limits them.
    The dropout mask follows from a seed that torch draws, so it is not kept.

    Args:
        x: Joints.
        weight: Scale of each channel.
        bias: Shift of each channel.
        residual: What is added before the rectifier.
        dropout: Fraction of entries that is dropped.
        eps: Added to the variance.

    Shapes:
        - **x**, **residual:** ``[*, C]``
        - **weight**, **bias:** ``[C]``
        - **output:** ``[*, C]``; the mean and the variance (biased) ``[C]``, without gradients

    Raises:
        ValueError: If shapes or types of numbers differ.
    """
    for name, tensor, shape in (
        ("weight", weight, x.shape[-1:]),
        ("bias", bias, x.shape[-1:]),
        ("residual", residual, x.shape),
    ):
        if tensor is not None and (tensor.dtype != x.dtype or tensor.shape != shape):
            raise ValueError(
                f"{name} must be {x.dtype} {list(shape)} for x {list(x.shape)}, got "
                f"{tensor.dtype} {list(tensor.shape)}"
            )
    seed = torch.zeros((), dtype=torch.int64, device="cpu")
    if dropout:
        seed = torch.randint(2**62, (), device="cpu")
    residual = None if residual is None else residual.contiguous()
    return _forward(
        x.contiguous(), weight.contiguous(), bias.contiguous(), residual, dropout, eps, seed
    )


@custom_op(
    "pyg_fsar::norm_relu",
    mutates_args=(),
    schema="(Tensor x, Tensor weight, Tensor bias, Tensor? residual, float dropout, float eps, "
    "Tensor seed) -> (Tensor, Tensor, Tensor)",
)
def _forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor | None,
    dropout: float,
    eps: float,
    seed: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    out, mean, variance = torch.empty_like(x), torch.empty_like(bias), torch.empty_like(bias)
    _call("forward", [x, residual, weight, bias, out, mean, variance], dropout, eps, seed)
    return out, mean, variance


@custom_op(
    "pyg_fsar::norm_relu_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor x, Tensor out, Tensor weight, Tensor mean, Tensor variance, "
    "bool has_residual, float dropout, float eps, Tensor seed) -> (Tensor, Tensor, Tensor, Tensor)",
)
def _backward(
    grad: Tensor,
    x: Tensor,
    out: Tensor,
    weight: Tensor,
    mean: Tensor,
    variance: Tensor,
    has_residual: bool,
    dropout: float,
    eps: float,
    seed: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    grads = _empty_grads(x, weight, has_residual)
    of_x, of_residual, *of_parameters = grads
    inputs = [grad.contiguous(), x, out, weight, mean, variance]
    outputs = [of_x, of_residual if has_residual else None, *of_parameters]
    _call("backward", [*inputs, *outputs], dropout, eps, seed)
    return grads


def _empty_grads(
    x: Tensor, weight: Tensor, has_residual: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Room for the gradients of the joints, the residual (none if it has none), weight and bias."""
    of_residual = torch.empty_like(x) if has_residual else x.new_empty(0)
    return torch.empty_like(x), of_residual, torch.empty_like(weight), torch.empty_like(weight)


def _call(name: str, arrays: list[Tensor | None], dropout: float, eps: float, seed: Tensor) -> None:
    x = next(array for array in arrays if array is not None)
    functions = library("norm_relu")
    if functions is None:
        raise RuntimeError("norm_relu needs a C++ compiler; set CXX to one")
    channels = x.size(-1)
    sizes = [x.numel() // channels, channels, int(seed), torch.get_num_threads()]
    status = getattr(functions, f"norm_relu_{name}_{DTYPES[x.dtype]}")(
        (c_void_p * len(arrays))(*(None if a is None else a.data_ptr() for a in arrays)),
        (c_int64 * len(sizes))(*sizes),
        (c_double * 2)(dropout, eps),
    )
    if status:
        raise MemoryError(f"not enough memory to normalise {channels} channels")


@register_fake("pyg_fsar::norm_relu")
def _(x: Tensor, weight: Tensor, bias: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(bias), torch.empty_like(bias)


@register_fake("pyg_fsar::norm_relu_backward")
def _(
    grad: Tensor, x: Tensor, out: Tensor, weight: Tensor, mean: Tensor, variance: Tensor,
    has_residual: bool, *_: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    return _empty_grads(x, weight, has_residual)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, weight, bias, residual, dropout, eps, seed = inputs
    ctx.save_for_backward(x, weight, bias, *output, seed)
    ctx.options = residual is not None, dropout, eps
    # No gradient reaches the statistics, and one of zeros would be made for nothing.
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, grad: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 7
    x, weight, bias, out, mean, variance, seed = ctx.saved_tensors
    has_residual, dropout, eps = ctx.options
    if torch.is_grad_enabled():  # the gradient is to be differentiated again
        with torch.no_grad():
            # With weight 0 and bias 1 the output is the scaled dropout mask.
            show = torch.zeros_like(bias), torch.ones_like(bias)
            kept, *_ = _forward(x, *show, None, dropout, eps, seed)

        def normal(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            flat = x.flatten(0, -2)
            out = F.batch_norm(flat, None, None, weight, bias, training=True, eps=eps)
            return kept * out.view_as(x)

        of_residual = grad * (out > 0)
        of_x, of_weight, of_bias = second_gradient(normal, (x, weight, bias), of_residual)
    else:
        of_x, of_residual, of_weight, of_bias = _backward(
            grad, x, out, weight, mean, variance, has_residual, dropout, eps, seed
        )
    return of_x, of_weight, of_bias, of_residual if has_residual else None, None, None, None


register_autograd("pyg_fsar::norm_relu", _differentiate, setup_context=_save)
