"""Convolution over a dense skeleton without a tensor of all subsets."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op, register_autograd, register_fake
from torch.utils.flop_counter import register_flop_formula

from pyg_fsar.kernels import second_gradient, takes_cpu_operators

__all__ = ["graph_conv"]

# Entries of all subsets that are held at a time, for each thread, so that they stay in its cache.
CHUNK = 2**18


def graph_conv(x: Tensor, adj: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""Sum over the subsets of :math:`\mathbf{A}_k^\top (\mathbf{X} \mathbf{W}_k + \mathbf{b}_k)`.

    The messages of all subsets are ``K`` times as large as the joints. On the CPU they are computed
    for some frames at a time in one buffer. The backward pass multiplies by the weights first: it
    takes no more products, and keeps nothing but the joints.

    Args:
        x: Joints of frames.
        adj: Weight of the edge ``[k, source, target]``, for all frames or for each clip its own.
        weight: Of each subset.
        bias: Of each subset.

    Shapes:
        - **x:** ``[*, V, C]``
        - **adj:** ``[K, V, V]``, or ``[B, K, V, V]`` with **x** ``[B, *, V, C]``
        - **weight:** ``[K, C, C']``
        - **bias:** ``[K, C']``
        - **output:** ``[*, V, C']``
    """
    if not _by_chunks(x, adj, weight):
        return _composed(x, adj, weight, bias)
    frames = x.reshape(-1, *x.shape[-2:]).contiguous()
    return _forward(frames, adj, weight, bias).view(*x.shape[:-1], weight.size(-1))


def _by_chunks(x: Tensor, adj: Tensor, weight: Tensor) -> bool:
    """Whether to compute chunks of frames: on a CPU, where writing to new pages of memory costs
    more than products; unless the adjacency needs a gradient or numbers are in half precision; and
    unless few channels become many, as in the first layer, where messages are small.
    """
    return (
        takes_cpu_operators(x, weight, adj)
        and adj.dim() == 3
        and not (adj.requires_grad and torch.is_grad_enabled())
        and weight.size(-1) <= 2 * x.size(-1)
    )


def _composed(x: Tensor, adj: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The formula in PyTorch's own operators."""
    rows = _rows(adj)
    batch = list(adj.shape[:-3]) + [1] * (x.dim() - adj.dim() + 1)
    aggregate = torch.matmul(rows.view(batch + list(rows.shape[-2:])), x)
    stacked = weight.flatten(0, 1)
    out = aggregate.view(*x.shape[:-1], len(stacked)) @ stacked
    if bias is not None:
        out += _shift(rows, bias).view([*batch, x.size(-2), weight.size(-1)])
    return out


def _rows(adj: Tensor) -> Tensor:
    """The adjacency as ``[*, V K, V]``, with rows ordered by (target, subset).

    What a joint gets from all subsets is then contiguous: one product with all weights follows, and
    nothing is copied.
    """
    return adj.movedim(-1, -3).flatten(-3, -2)


def _shift(rows: Tensor, bias: Tensor) -> Tensor:
    """What biases add to each joint, ``[*, V, C']``."""
    return rows.sum(dim=-1).unflatten(-1, (-1, len(bias))) @ bias


def _chunks(frames: Tensor, num_subsets: int, channels: int) -> int:
    """Number of frames at a time."""
    entries = num_subsets * frames.size(-2) * max(channels, frames.size(-1))
    return max(1, CHUNK * torch.get_num_threads() // entries)


@custom_op(
    "pyg_fsar::graph_conv",
    mutates_args=(),
    schema="(Tensor x, Tensor adj, Tensor weight, Tensor? bias) -> Tensor",
)
def _forward(x: Tensor, adj: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    (num_joints, channels), num_subsets = x.shape[1:], len(adj)
    rows, stacked = _rows(adj), weight.flatten(0, 1)
    shift = None if bias is None else _shift(rows, bias)
    size = _chunks(x, num_subsets, weight.size(-1))
    out = x.new_empty(len(x), num_joints, weight.size(-1))
    buffer = x.new_empty(min(size, len(x)), len(rows), channels)
    for part, result in zip(x.split(size), out.split(size), strict=True):
        aggregate = buffer[: len(part)]
        torch.bmm(rows.expand(len(part), -1, -1), part, out=aggregate)
        torch.mm(aggregate.view(-1, len(stacked)), stacked, out=result.view(-1, result.size(-1)))
        if shift is not None:
            result += shift
    return out


@custom_op(
    "pyg_fsar::graph_conv_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor x, Tensor adj, Tensor weight, bool of_x) -> "
    "(Tensor, Tensor, Tensor)",
)
def _backward(
    grad: Tensor, x: Tensor, adj: Tensor, weight: Tensor, of_x: bool
) -> tuple[Tensor, Tensor, Tensor]:
    num_joints, num_subsets = x.size(1), len(adj)
    rows, stacked = _rows(adj.mT), weight.mT.flatten(0, 1)
    size = _chunks(x, num_subsets, weight.size(-1))
    grad_x = torch.empty_like(x) if of_x else x.new_empty(0)
    grad_weight = x.new_zeros(x.size(-1), len(stacked))
    total = x.new_zeros(num_joints, grad.size(-1))
    buffer = x.new_empty(min(size, len(x)), len(rows), grad.size(-1))
    for start in range(0, len(x), size):
        part, of_part = x[start : start + size], grad[start : start + size]
        total += of_part.sum(dim=0)
        spread = buffer[: len(part)]
        torch.bmm(rows.expand(len(part), -1, -1), of_part, out=spread)
        spread = spread.view(-1, len(stacked))
        flat = part.view(-1, x.size(-1))
        grad_weight.addmm_(flat.t(), spread)
        if of_x:
            torch.mm(spread, stacked, out=grad_x[start : start + size].view(-1, x.size(-1)))
    grad_weight = grad_weight.unflatten(-1, (num_subsets, -1)).movedim(1, 0)
    return grad_x, grad_weight, adj.sum(dim=1) @ total


@register_fake("pyg_fsar::graph_conv")
def _(x: Tensor, adj: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x.new_empty(*x.shape[:-1], weight.size(-1))


@register_fake("pyg_fsar::graph_conv_backward")
def _(
    grad: Tensor, x: Tensor, adj: Tensor, weight: Tensor, of_x: bool
) -> tuple[Tensor, Tensor, Tensor]:
    num_subsets, channels, out_channels = weight.shape
    # As the operator has it, transposed in memory.
    grad_weight = weight.new_empty(channels, num_subsets, out_channels).movedim(1, 0)
    grad_x = torch.empty_like(x) if of_x else x.new_empty(0)
    return grad_x, grad_weight, weight.new_empty(num_subsets, out_channels)


@register_flop_formula(torch.ops.pyg_fsar.graph_conv)
def _operations(x: torch.Size, adj: torch.Size, weight: torch.Size, *_: Any, **__: Any) -> int:
    (frames, num_joints, channels), num_subsets, out_channels = x, weight[0], weight[2]
    return 2 * frames * num_joints * num_subsets * channels * (num_joints + out_channels)


@register_flop_formula(torch.ops.pyg_fsar.graph_conv_backward)
def _backward_operations(
    grad: torch.Size, x: torch.Size, adj: torch.Size, weight: torch.Size, of_x: bool, **_: Any
) -> int:
    (frames, num_joints, channels), num_subsets, out_channels = x, weight[0], weight[2]
    products = num_joints + (2 if of_x else 1) * channels
    return 2 * frames * num_joints * num_subsets * out_channels * products


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, adj, weight, bias = ctx.saved_tensors
    if torch.is_grad_enabled():  # the gradient is to be differentiated again
        inputs = [x, weight] if bias is None else [x, weight, bias]
        of_x, *rest = second_gradient(lambda x, *rest: _composed(x, adj, *rest), inputs, grad)
        return of_x, None, *rest, *[None] * (bias is None)
    with_x = ctx.needs_input_grad[0]
    of_x, of_weight, of_bias = _backward(grad.contiguous(), x, adj, weight, with_x)
    return of_x if with_x else None, None, of_weight, None if bias is None else of_bias


register_autograd("pyg_fsar::graph_conv", _differentiate, setup_context=_save)
