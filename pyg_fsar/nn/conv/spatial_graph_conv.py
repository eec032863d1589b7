"""Graph convolution over partitioned bones."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import scatter

from pyg_fsar.nn.functional import graph_conv

__all__ = ["SpatialGraphConv"]


class SpatialGraphConv(MessagePassing):
    r"""The spatial convolution of "Spatial Temporal Graph Convolutional Networks for Skeleton-Based
    Action Recognition" (AAAI 2018):

    .. math::
        \mathbf{x}'_j = \sum_{k=1}^{K} \sum_i A_{kij} (\mathbf{x}_i \mathbf{W}_k + \mathbf{b}_k)

    with one weight per subset :math:`k` of the edges. The edges come in one of two forms, with the
    same weights and the same result: a dense adjacency, which is the fast one for skeletons, or
    PyG's ``edge_index`` with the subset of each edge as its type.

    Args:
        in_channels: Size of each input joint.
        out_channels: Size of each output joint.
        num_subsets: Number of subsets that the edges are divided into, ``K``.
        bias: Learn an additive bias for each subset.

    Shapes:
        - **input:** joints :math:`(*, V, C)` of any number of frames of one skeleton, or
          :math:`(N, C)` of an ordinary graph
        - **output:** the same with ``out_channels``

    Example:
        >>> skeleton = Skeleton.get("ntu25")
        >>> conv = SpatialGraphConv(3, 64)
        >>> conv(torch.randn(8, 30, 25, 3), skeleton.adjacency()).shape
        torch.Size([8, 30, 25, 64])
        >>> edge_index, edge_type, edge_weight = skeleton.relations()
        >>> conv(torch.randn(8, 30, 25, 3), edge_index, edge_type, edge_weight).shape
        torch.Size([8, 30, 25, 64])
    """

    def __init__(
        self, in_channels: int, out_channels: int, num_subsets: int = 3, bias: bool = True
    ) -> None:
        super().__init__(aggr="add", node_dim=-2)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.num_subsets = num_subsets
        self.weight = nn.Parameter(torch.empty(num_subsets, in_channels, out_channels))
        self.bias = nn.Parameter(torch.empty(num_subsets, out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and biases as for the 1 x 1 convolution of the original code."""
        super().reset_parameters()
        bound = 1 / math.sqrt(self.in_channels)
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(
        self,
        x: Tensor,
        adj: Tensor,
        edge_type: Tensor | None = None,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        """Convolve.

        Args:
            x: Joint features.
            adj: Dense adjacency (floating point), entry ``[k, source, target]`` being the weight of
                an edge in subset ``k``, for all frames alike or for each clip its own; or
                ``edge_index`` (integer).
            edge_type: With ``edge_index``, the subset of each edge. May be left out if there is
                only one.
            edge_weight: With ``edge_index``, the weight of each edge; 1 if left out.

        Shapes:
            - **x:** :math:`(*, V, C)`
            - **adj:** :math:`(K, V, V)`, or :math:`(B, K, V, V)` with **x** :math:`(B, *, V, C)`;
              or :math:`(2, E)`
            - **edge_type, edge_weight:** :math:`(E)`
            - **output:** :math:`(*, V, C')`

        Raises:
            ValueError: If shapes do not fit together, or edges lack a type.
        """
        if x.dim() < 2 or x.size(-1) != self.in_channels:
            raise ValueError(
                f"x must be [..., V, {self.in_channels}] (joints, channels), got {list(x.shape)}"
            )
        if adj.is_floating_point():
            return self._forward_dense(x, adj, edge_type, edge_weight)
        return self._forward_sparse(x, adj, edge_type, edge_weight)

    def _forward_dense(
        self, x: Tensor, adj: Tensor, edge_type: Tensor | None, edge_weight: Tensor | None
    ) -> Tensor:
        expected = (self.num_subsets, x.size(-2), x.size(-2))
        if adj.dim() not in (3, 4) or adj.shape[-3:] != expected:
            raise ValueError(
                f"the dense adjacency must be {list(expected)} or [B, {str(list(expected))[1:]} "
                f"(subsets, source, target) for x {list(x.shape)}, got {list(adj.shape)}"
            )
        if adj.dim() == 4 and (x.dim() < 3 or x.size(0) != adj.size(0)):
            raise ValueError(
                f"an adjacency for each of {adj.size(0)} clips needs x [{adj.size(0)}, ..., V, C], "
                f"got {list(x.shape)}"
            )
        if edge_type is not None or edge_weight is not None:
            raise ValueError("edge_type and edge_weight go with edge_index, not a dense adjacency")

        return graph_conv(x, adj, self.weight, self.bias)

    def _forward_sparse(
        self, x: Tensor, edge_index: Tensor, edge_type: Tensor | None, edge_weight: Tensor | None
    ) -> Tensor:
        if edge_index.dim() != 2 or edge_index.size(0) != 2:
            raise ValueError(
                f"adj must be a floating point adjacency [K, V, V] or an integer edge_index [2, E],"
                f" got {edge_index.dtype} {list(edge_index.shape)}"
            )
        if edge_type is None:
            if self.num_subsets > 1:
                raise ValueError(
                    f"edge_index needs edge_type: which of {self.num_subsets} subsets each edge is "
                    "in; Skeleton.relations() gives both"
                )
            edge_type = torch.zeros_like(edge_index[0])
        for name, value in (("edge_type", edge_type), ("edge_weight", edge_weight)):
            if value is not None and value.shape != edge_index.shape[1:]:
                raise ValueError(
                    f"{name} must have one entry for each of {edge_index.size(1)} edges, got "
                    f"shape {list(value.shape)}"
                )

        # Every (subset, joint) is a target of its own, so that one propagation serves all subsets.
        num_nodes = x.size(-2)
        source, target = edge_index
        target = edge_type * num_nodes + target
        num_targets = self.num_subsets * num_nodes
        aggregate = self.propagate(
            torch.stack([source, target]),
            x=x,
            edge_weight=edge_weight,
            size=(num_nodes, num_targets),
        ).unflatten(-2, (self.num_subsets, num_nodes))
        out = torch.einsum("...kvc,kco->...vo", aggregate, self.weight)
        if self.bias is None:
            return out
        weight = x.new_ones(target.numel()) if edge_weight is None else edge_weight
        coefficient = scatter(weight, target, dim_size=num_targets, reduce="sum")
        return out + coefficient.view(self.num_subsets, num_nodes).t() @ self.bias

    def message(self, x_j: Tensor, edge_weight: Tensor | None) -> Tensor:
        """Weigh the source joints of all edges."""
        return x_j if edge_weight is None else edge_weight.view(-1, 1) * x_j

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, "
            f"num_subsets={self.num_subsets})"
        )
