"""Convolution over a dense skeleton."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["graph_conv"]


def graph_conv(x: Tensor, adj: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""Sum over the subsets of :math:`\mathbf{A}_k^\top (\mathbf{X} \mathbf{W}_k + \mathbf{b}_k)`.

    The two products may come in either order. The joints are multiplied by the weights first where
    the adjacency needs no gradient: autograd then keeps the joints alone, and not what they receive
    by each of the ``K`` subsets. If channels become more, it is faster to aggregate first.

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
    num_subsets, channels, out_channels = weight.shape
    needs_gradient = adj.requires_grad and torch.is_grad_enabled()
    if needs_gradient or out_channels > channels:
        # Rows ordered by (target, subset): what a joint gets from all subsets is contiguous.
        rows = _per_frame(adj.movedim(-1, -3).flatten(-3, -2), x)
        aggregate = torch.matmul(rows, x).view(*x.shape[:-1], num_subsets * channels)
        out = aggregate @ weight.flatten(0, 1)
    else:
        # Columns ordered by (source, subset), as are the rows of the mapped joints.
        mapped = x @ weight.movedim(0, 1).flatten(1)
        columns = adj.movedim(-3, -2).flatten(-3, -2).mT
        mapped = mapped.view(*x.shape[:-2], x.size(-2) * num_subsets, out_channels)
        out = torch.matmul(_per_frame(columns, x), mapped)
    if bias is not None:
        out += _per_frame(adj.sum(dim=-2).mT @ bias, x)
    return out


def _per_frame(matrices: Tensor, x: Tensor) -> Tensor:
    """A matrix, or one for each clip, as it is broadcast to all frames."""
    batch = matrices.shape[:-2]
    return matrices.view(*batch, *[1] * (x.dim() - 2 - len(batch)), *matrices.shape[-2:])
