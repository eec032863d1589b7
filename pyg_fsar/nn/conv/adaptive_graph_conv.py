"""Graph convolution that learns its graph."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pyg_fsar.nn.conv.checks import check_learned_graph
from pyg_fsar.nn.conv.spatial_graph_conv import SpatialGraphConv

__all__ = ["AdaptiveGraphConv"]


class AdaptiveGraphConv(nn.Module):
    r"""The spatial convolution of "Two-Stream Adaptive Graph Convolutional Networks for
    Skeleton-Based Action Recognition" (CVPR 2019):

    .. math::
        \mathbf{x}'_j = \sum_{k=1}^{K} \sum_i
        (A_{kij} + B_{kij} + C_{kij}) \, \mathbf{x}_i \mathbf{W}_k
        \qquad
        C_{kij} = \underset{i}{\text{softmax}}
        \Big( \frac{1}{T C_e} \sum_t \theta_k(\mathbf{x}_{ti})^\top \phi_k(\mathbf{x}_{tj}) \Big)

    The graph given, :math:`A`, is joined by a learned one, :math:`B`, and by the similarity of
    joints over the frames of each body, :math:`C`, computed once per body and not per frame. The
    biases of the published weights are left out, since the batch normalisation that follows takes
    any constant away.

    Args:
        in_channels: Size of each input joint.
        out_channels: Size of each output joint.
        num_joints: Number of joints, ``V``.
        num_subsets: Number of graphs of each kind, ``K``.
        embed_channels: Size :math:`C_e` of the embeddings :math:`\theta` and :math:`\phi`; a
            quarter of ``out_channels`` if not given.

    Shapes:
        - **x:** :math:`(B, T, V, C)`
        - **adj:** :math:`(K, V, V)`
        - **output:** :math:`(B, T, V, C')`

    Example:
        >>> conv = AdaptiveGraphConv(3, 64, num_joints=25)
        >>> conv(torch.randn(8, 30, 25, 3), Skeleton.get("ntu25").adjacency()).shape
        torch.Size([8, 30, 25, 64])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_joints: int,
        num_subsets: int = 3,
        embed_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.num_subsets = num_subsets
        self.embed_channels = embed_channels or max(out_channels // 4, 1)
        self.conv = SpatialGraphConv(in_channels, out_channels, num_subsets, bias=False)
        self.embed = nn.Linear(in_channels, 2 * num_subsets * self.embed_channels)
        self.learned = nn.Parameter(torch.empty(num_subsets, num_joints, num_joints))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.conv.reset_parameters()
        nn.init.constant_(self.learned, 1e-6)
        # As in the public code: no norm follows, so the scale decides how sharp the softmax begins.
        nn.init.normal_(self.embed.weight, std=math.sqrt(2 / self.embed_channels))
        nn.init.zeros_(self.embed.bias)

    def forward(self, x: Tensor, adj: Tensor) -> Tensor:
        """Convolve.

        Raises:
            ValueError: If shapes do not fit together, or ``adj`` is no dense adjacency.
        """
        check_learned_graph(x, adj, self.learned, self.in_channels)
        return self.conv(x, adj + self.learned + self.similarity(x))

    def similarity(self, x: Tensor) -> Tensor:
        r"""The graph :math:`C` of each body.

        Shapes:
            - **x:** :math:`(B, T, V, C)`
            - **output:** :math:`(B, K, V, V)`, its columns summing to 1
        """
        return self.mean_products(x).softmax(dim=-2)

    def mean_products(self, x: Tensor) -> Tensor:
        r"""Inner products of the embedded joints of each body, as means over frames and channels.

        Shapes:
            - **x:** :math:`(B, T, V, C)`
            - **output:** :math:`(B, K, V, V)`, entry ``[b, k, source, target]``
        """
        embedded = self.embed(x).view(*x.shape[:3], 2, self.num_subsets, self.embed_channels)
        theta, phi = embedded.permute(3, 0, 4, 2, 1, 5).flatten(-2)
        return theta @ phi.mT / theta.size(-1)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, "
            f"num_subsets={self.num_subsets})"
        )
