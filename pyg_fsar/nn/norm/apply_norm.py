"""Normalisation of channels, with the dropout, residual and rectifier that usually follow."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from pyg_fsar.kernels import has_kernel, norm_relu
from pyg_fsar.nn.hooks import has_hooks

__all__ = ["apply_norm"]


def apply_norm(
    x: Tensor,
    norm: nn.Module,
    dropout: nn.Dropout | None = None,
    residual: Tensor | None = None,
    relu: bool = False,
) -> Tensor:
    r"""Normalise channels, then apply dropout, add a residual and rectify:
    :math:`\mathrm{relu}(\mathrm{dropout}(\mathrm{norm}(x)) + r)`, or as much of it as is given.

    Batch normalisation in training on the CPU does all of it in one kernel if there is a rectifier,
    see :func:`pyg_fsar.kernels.norm_relu`.

    Args:
        x: Joints.
        norm: A norm of the channels of :math:`(N, C)`.
        dropout: Applied before the residual is added.
        residual: Of the same shape as ``x``.
        relu: Rectify in the end.

    Shapes:
        - **x**, **residual**, **output:** :math:`(*, C)`
    """
    p = dropout.p if dropout is not None and dropout.training else 0.0
    if relu and p < 1 and _fits_kernel(x, norm, dropout, residual):
        return _norm_relu(x, cast(nn.BatchNorm1d, norm), p, residual)
    # Batch norm over the last axis of a flat tensor is the fastest form of it on CPU.
    out = norm(x.flatten(0, -2))
    if dropout is not None:
        out = dropout(out)
    if residual is not None:
        out = out + residual.flatten(0, -2)
    if relu:
        # In place saves a tensor, but only if no module or hook can refer to it. It precedes any
        # view, since autograd copies gradients of views that are changed in place.
        ours = residual is not None or _makes_its_output(norm, dropout)
        out = out.relu_() if ours else out.relu()
    return out.view_as(x)


def _makes_its_output(norm: nn.Module, dropout: nn.Module | None) -> bool:
    """Whether the output is a new tensor that nothing else refers to."""
    return (
        type(norm) in (nn.BatchNorm1d, nn.LayerNorm)
        and (dropout is None or type(dropout) is nn.Dropout)
        and not has_hooks(norm, dropout)
    )


def _fits_kernel(
    x: Tensor, norm: nn.Module, dropout: nn.Module | None, residual: Tensor | None
) -> bool:
    """Whether the kernel computes what the modules would, and they have no hooks."""
    return (
        type(norm) is nn.BatchNorm1d
        and (dropout is None or type(dropout) is nn.Dropout)
        and not has_hooks(norm, dropout)
        and (residual is None or (residual.dtype, residual.shape) == (x.dtype, x.shape))
        and norm.training
        and norm.affine
        and norm.momentum is not None
        and norm.weight.dtype == x.dtype
        and x.shape[-1:] == norm.weight.shape
        and x.numel() > x.size(-1)
        and has_kernel("norm_relu", x.size(-1), x.dtype, x.device)
    )


def _norm_relu(x: Tensor, norm: nn.BatchNorm1d, dropout: float, residual: Tensor | None) -> Tensor:
    """All steps at once, and the update of the running statistics."""
    out, mean, variance = norm_relu(x, norm.weight, norm.bias, residual, dropout, norm.eps)
    if norm.track_running_stats:
        momentum, count = cast(float, norm.momentum), x.numel() // x.size(-1)
        with torch.no_grad():
            cast(Tensor, norm.running_mean).lerp_(mean, momentum)
            cast(Tensor, norm.running_var).lerp_(variance * (count / (count - 1)), momentum)
            cast(Tensor, norm.num_batches_tracked).add_(1)
    return out
