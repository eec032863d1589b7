"""Graph convolution with a graph for every channel."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pyg_fsar.nn.conv.checks import check_learned_graph

__all__ = ["CTRGraphConv"]


class CTRGraphConv(nn.Module):
    r"""The spatial convolution of "Channel-wise Topology Refinement Graph Convolution for
    Skeleton-Based Action Recognition" (ICCV 2021), in :math:`K` subsets:

    .. math::
        \mathbf{x}'_j = \sum_{k=1}^{K} \sum_i \mathbf{r}_{kij} \odot (\mathbf{x}_i \mathbf{W}_k +
        \mathbf{b}_k)
        \qquad
        \mathbf{r}_{kij} = A_{kij} + B_{kij} + \alpha \, \xi_k \big( \tanh(
        \psi_k(\bar{\mathbf{x}}_j) - \phi_k(\bar{\mathbf{x}}_i)) \big)

    To the graph given, :math:`A`, and a learned one, :math:`B`, which all channels share, every
    channel adds its own, computed once for each body from the means over time,
    :math:`\bar{\mathbf{x}}`. :math:`\alpha` is learned and begins as 0.

    Args:
        in_channels: Size of each input joint.
        out_channels: Size of each output joint.
        num_joints: Number of joints, ``V``.
        num_subsets: Number of graphs of each kind, ``K``.
        relation_channels: Size of :math:`\psi` and :math:`\phi`. If not given it is as published:
            an eighth of ``in_channels``, or 8 where that is less than 16.

    Shapes:
        - **x:** :math:`(B, T, V, C)`
        - **adj:** :math:`(K, V, V)`
        - **output:** :math:`(B, T, V, C')`

    Example:
        >>> conv = CTRGraphConv(3, 64, num_joints=25)
        >>> conv(torch.randn(8, 30, 25, 3), Skeleton.get("ntu25").adjacency()).shape
        torch.Size([8, 30, 25, 64])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_joints: int,
        num_subsets: int = 3,
        relation_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.num_subsets = num_subsets
        if relation_channels is None:
            relation_channels = 8 if in_channels < 16 else in_channels // 8
        self.relation_channels = relation_channels
        self.value = nn.Linear(in_channels, num_subsets * out_channels)
        self.psi = nn.Linear(in_channels, num_subsets * relation_channels)
        self.phi = nn.Linear(in_channels, num_subsets * relation_channels)
        self.xi = nn.Parameter(torch.empty(num_subsets, out_channels, relation_channels))
        self.xi_bias = nn.Parameter(torch.empty(num_subsets, out_channels))
        self.learned = nn.Parameter(torch.empty(num_subsets, num_joints, num_joints))
        self.alpha = nn.Parameter(torch.empty(()))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew, in the scales of the published code."""
        for weight, size in (
            (self.value.weight, self.out_channels),
            (self.psi.weight, self.relation_channels),
            (self.phi.weight, self.relation_channels),
            (self.xi, self.out_channels),
        ):
            nn.init.normal_(weight, std=math.sqrt(2 / size))
        for zeros in (self.value.bias, self.psi.bias, self.phi.bias, self.xi_bias, self.learned):
            nn.init.zeros_(zeros)
        nn.init.zeros_(self.alpha)

    def forward(self, x: Tensor, adj: Tensor) -> Tensor:
        """Convolve.

        Raises:
            ValueError: If shapes do not fit together, or ``adj`` is no dense adjacency.
        """
        check_learned_graph(x, adj, self.learned, self.in_channels)
        # One small product for every body, subset and channel, with the channels before the frames.
        values = self.value(x).unflatten(-1, (self.num_subsets, -1)).permute(0, 3, 4, 1, 2)
        out = (values @ self.topology(x, adj)).sum(dim=1)
        return out.permute(0, 2, 3, 1).contiguous()

    def topology(self, x: Tensor, adj: Tensor) -> Tensor:
        r"""The graphs :math:`\mathbf{r}` of each body.

        Shapes:
            - **x:** :math:`(B, T, V, C)`
            - **adj:** :math:`(K, V, V)`
            - **output:** :math:`(B, K, C', V, V)`, entry ``[b, k, c, source, target]``
        """
        mean = x.mean(dim=1)  # psi and phi are linear, so that the mean may come first
        psi, phi = (
            layer(mean).unflatten(-1, (self.num_subsets, -1)).permute(0, 2, 3, 1)
            for layer in (self.psi, self.phi)
        )
        relations = (psi.unsqueeze(-2) - phi.unsqueeze(-1)).tanh().flatten(-2)
        graphs = (self.alpha * self.xi) @ relations
        shared = (adj + self.learned).flatten(1).unsqueeze(1)
        graphs += shared + (self.alpha * self.xi_bias).unsqueeze(-1)  # in place: it is large
        return graphs.unflatten(-1, adj.shape[1:])

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, "
            f"num_subsets={self.num_subsets})"
        )
