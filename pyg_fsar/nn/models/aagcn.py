"""The AAGCN encoder: AGCN with attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pyg_fsar.nn.conv import AdaptiveGraphConv
from pyg_fsar.nn.models.agcn import AGCN, AGCNBlock

__all__ = ["AAGCN", "AAGCNBlock", "GatedGraphConv", "JointTimeChannelAttention"]


class GatedGraphConv(AdaptiveGraphConv):
    r"""The spatial convolution of :class:`AAGCN`: that of :class:`AGCN` with

    .. math::
        C_{kij} = \alpha \tanh
        \Big( \frac{1}{T C_e} \sum_t \theta_k(\mathbf{x}_{ti})^\top \phi_k(\mathbf{x}_{tj}) \Big)

    for the similarity of joints. The gate :math:`\alpha` is learned and begins as 0, so that a
    network begins with its bones alone.

    Arguments and shapes are those of :class:`~pyg_fsar.nn.AdaptiveGraphConv`.

    Example:
        >>> conv = GatedGraphConv(3, 64, num_joints=25)
        >>> conv(torch.randn(8, 30, 25, 3), Skeleton.get("ntu25").adjacency()).shape
        torch.Size([8, 30, 25, 64])
    """

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        super().reset_parameters()
        nn.init.zeros_(self.learned)
        self.alpha = nn.Parameter(torch.zeros(()))

    def similarity(self, x: Tensor) -> Tensor:
        r"""The graph :math:`C` of each body.

        Shapes:
            - **x:** :math:`(B, T, V, C)`
            - **output:** :math:`(B, K, V, V)`
        """
        return self.alpha * self.mean_products(x).tanh()


class JointTimeChannelAttention(nn.Module):
    r"""Attention of "Skeleton-Based Action Recognition with Multi-Stream Adaptive Graph
    Convolutional Networks" (IEEE TIP 2020): joints, then frames, then channels are weighed,

    .. math::
        \mathbf{x} \leftarrow \mathbf{x} + \mathbf{x} \odot \sigma(g(\bar{\mathbf{x}})),

    with :math:`\bar{\mathbf{x}}` the mean over all axes but channels and the one that is weighed.
    :math:`g` is a convolution along joints in their order, one along frames, and two linear layers
    with a rectifier between them for channels.

    Args:
        channels: Size of each joint.
        num_joints: Number of joints, ``V``; the kernel along them is as long, or one less if that
            is even.
        kernel_size: Size of the kernel along frames.
        reduction: By how much the hidden layer for channels is smaller than they are.

    Shapes:
        - **input, output:** :math:`(B, T, V, C)`

    Example:
        >>> attention = JointTimeChannelAttention(64, num_joints=25)
        >>> attention(torch.randn(2, 30, 25, 64)).shape
        torch.Size([2, 30, 25, 64])
    """

    def __init__(
        self, channels: int, num_joints: int, kernel_size: int = 9, reduction: int = 2
    ) -> None:
        super().__init__()
        over_joints = num_joints - (num_joints + 1) % 2
        hidden = max(channels // reduction, 1)
        self.joints = nn.Conv1d(channels, 1, over_joints, padding=over_joints // 2)
        self.frames = nn.Conv1d(channels, 1, kernel_size, padding=kernel_size // 2)
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew: all frames and channels begin alike, as in the public code."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
        nn.init.xavier_normal_(self.joints.weight)
        nn.init.kaiming_normal_(self.squeeze.weight)
        # Zero in the public code, of which weight norm and spectral norm would make NaN.
        nn.init.normal_(self.frames.weight, std=1e-6)
        nn.init.normal_(self.excite.weight, std=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh joints, frames and channels."""
        x = x + x * self.joints(x.mean(dim=1).mT).sigmoid().mT.unsqueeze(1)
        x = x + x * self.frames(x.mean(dim=2).mT).sigmoid().mT.unsqueeze(2)
        channels = self.excite(self.squeeze(x.mean(dim=(1, 2))).relu()).sigmoid()
        return x + x * channels[:, None, None]


class AAGCNBlock(AGCNBlock):
    """One block of :class:`AAGCN`: that of :class:`AGCN` with a :class:`GatedGraphConv`, after
    which come the rectifier and :class:`JointTimeChannelAttention`.

    Arguments and shapes are those of :class:`~pyg_fsar.nn.AGCNBlock`.

    Example:
        >>> block = AAGCNBlock(3, 64, num_joints=25)
        >>> block(torch.randn(2, 30, 25, 3), skeleton.adjacency()).shape
        torch.Size([2, 30, 25, 64])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_joints: int,
        num_subsets: int = 3,
        **options: Any,
    ) -> None:
        spatial = GatedGraphConv(in_channels, out_channels, num_joints, num_subsets)
        super().__init__(
            in_channels, out_channels, num_joints, num_subsets, spatial=spatial, **options
        )
        self.attention = JointTimeChannelAttention(out_channels, num_joints)

    def mix_joints(self, x: Tensor, adj: Tensor) -> Tensor:
        """The spatial half of the block."""
        return self.attention(super().mix_joints(x, adj))


class AAGCN(AGCN):
    r"""One stream of "Skeleton-Based Action Recognition with Multi-Stream Adaptive Graph
    Convolutional Networks" (IEEE TIP 2020), without its classifier, as its public code and PYSKL
    have it.

    It is :class:`AGCN` with a gate on the graph that is computed for each body, and with attention
    over joints, frames and channels. See :class:`~pyg_fsar.nn.MultiStream` for the four streams of
    the paper.

    Arguments, shapes and errors are those of :class:`~pyg_fsar.nn.AGCN`.

    Example:
        >>> encoder = AAGCN("ntu25")
        >>> encoder(torch.randn(2, 30, 25, 3)).shape
        torch.Size([2, 8, 25, 256])
    """

    block = AAGCNBlock
