"""Norms of channels, and what follows them in most blocks."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from pyg_fsar import kernels

__all__ = ["apply_norm"]


def apply_norm(
    x: Tensor,
    norm: nn.Module,
    dropout: nn.Dropout | None = None,
    residual: Tensor | None = None,
    relu: bool = False,
) -> Tensor:
    r"""Normalise channels, and drop, add and rectify what was normalised:
    :math:`\mathrm{relu}(\mathrm{dropout}(\mathrm{norm}(x)) + r)`, or as much of it as is given.

    Batch normalisation in training on the CPU does all of it in one go if there is a rectifier,
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
    share = dropout.p if dropout is not None and dropout.training else 0.0
    if relu and share < 1 and _fits_kernel(x, norm, residual):
        return _norm_relu(x, cast(nn.BatchNorm1d, norm), share, residual)
    # Batch norm over the last axis of a flat tensor is the fastest form of it on CPU.
    out = norm(x.flatten(0, -2))
    if dropout is not None:
        out = dropout(out)
    if residual is not None:
        out = out + residual.flatten(0, -2)
    if relu:
        # In place, since nothing needs what is overwritten for its gradient, and before any view
        # is taken, since autograd copies gradients of views changed in place.
        out = out.relu_()
    return out.view_as(x)


def _fits_kernel(x: Tensor, norm: nn.Module, residual: Tensor | None) -> bool:
    """Whether the kernel computes what the modules would."""
    return (
        type(norm) is nn.BatchNorm1d
        # Whoever hangs a hook on a norm wants to see what it makes.
        and not (norm._forward_hooks or norm._forward_pre_hooks or norm._backward_hooks)
        and (residual is None or (residual.dtype, residual.shape) == (x.dtype, x.shape))
        and norm.training
        and norm.affine
        and norm.momentum is not None
        and norm.weight.dtype == x.dtype
        and x.shape[-1:] == norm.weight.shape
        and x.numel() > x.size(-1)
        and kernels.has_kernel("norm_relu", x.size(-1), x.dtype, x.device)
    )


def _norm_relu(x: Tensor, norm: nn.BatchNorm1d, dropout: float, residual: Tensor | None) -> Tensor:
    """All steps at once, and the update of the running statistics."""
    out, mean, variance = kernels.norm_relu(x, norm.weight, norm.bias, residual, dropout, norm.eps)
    if norm.track_running_stats:
        momentum, count = cast(float, norm.momentum), x.numel() // x.size(-1)
        with torch.no_grad():
            cast(Tensor, norm.running_mean).lerp_(mean, momentum)
            cast(Tensor, norm.running_var).lerp_(variance * (count / (count - 1)), momentum)
            cast(Tensor, norm.num_batches_tracked).add_(1)
    return out
