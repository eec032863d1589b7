"""Graph convolution over windows of frames."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["WindowGraphConv"]


class WindowGraphConv(nn.Module):
    r"""A :class:`SpatialGraphConv` whose nodes are the joints of all :math:`\tau` frames of a
    sliding window: the G3D convolution of "Disentangling and Unifying Graph Convolutions for
    Skeleton-Based Action Recognition" (CVPR 2020), without bias. Beyond its ends a clip is padded
    with zeros.

    Args:
        in_channels: Size of each input joint.
        out_channels: Size of each output joint.
        window: Number of frames in a window, :math:`\tau`; odd, so that it has a middle.
        num_subsets: Number of subsets of the adjacency, ``K``.
        stride: Step between windows.

    Shapes:
        - **x:** :math:`(B, T, V, C)`
        - **adj:** :math:`(K, \tau V, \tau V)`, the nodes of a window ordered frame by frame
        - **output:** :math:`(B, \lceil T / \text{stride} \rceil, \tau, V, C')`

    Raises:
        ValueError: If the window is not odd and positive.

    Example:
        >>> conv = WindowGraphConv(3, 16, window=3, num_subsets=1)
        >>> adj = torch.ones(1, 75, 75) / 75
        >>> conv(torch.randn(2, 30, 25, 3), adj).shape
        torch.Size([2, 30, 3, 25, 16])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        window: int,
        num_subsets: int = 6,
        stride: int = 1,
    ) -> None:
        if window < 1 or window % 2 == 0:
            raise ValueError(f"window must be odd and positive, got {window}")
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.window = window
        self.num_subsets = num_subsets
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(num_subsets, in_channels, out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights as :class:`SpatialGraphConv` does."""
        bound = 1 / math.sqrt(self.in_channels)
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, x: Tensor, adj: Tensor) -> Tensor:
        """Convolve.

        Raises:
            ValueError: If shapes do not fit together, or ``adj`` is no dense adjacency.
        """
        if x.dim() != 4 or x.size(-1) != self.in_channels:
            raise ValueError(f"x must be bodies [B, T, V, {self.in_channels}], got {list(x.shape)}")
        nodes = self.window * x.size(-2)
        if not adj.is_floating_point() or adj.shape != (self.num_subsets, nodes, nodes):
            raise ValueError(
                f"adj must be a dense adjacency of the {nodes} joints of {self.window} frames, "
                f"[{self.num_subsets}, {nodes}, {nodes}]; got {adj.dtype} {list(adj.shape)}"
            )
        # Either order of the two products gives the same. Many channels are rather mapped before
        # windows repeat them, and few rather after.
        map_first = self.in_channels * self.window > self.out_channels
        out = self._map_first(x, adj) if map_first else self._map_last(x, adj)
        return out.unflatten(-2, (self.window, x.size(-2)))

    def _map_last(self, x: Tensor, adj: Tensor) -> Tensor:
        side = self.window // 2
        padded = F.pad(x, (0, 0, 0, 0, side, side))
        windows = padded.unfold(1, self.window, self.stride).movedim(-1, 2).flatten(2, 3)
        rows = adj.movedim(-1, 0).flatten(0, 1)
        aggregate = (rows @ windows).unflatten(-2, (-1, self.num_subsets))
        return aggregate.flatten(-2) @ self.weight.flatten(0, 1)

    def _map_first(self, x: Tensor, adj: Tensor) -> Tensor:
        # What a window sums over its frames is a convolution along time, in which (joint, subset)
        # are the input channels, (frame, joint) of the window the output channels, and the features
        # lie beside each other like the columns of an image: no window is ever laid out.
        mapped = x @ self.weight.movedim(0, 1).flatten(1)
        image = mapped.view(*x.shape[:2], -1, self.out_channels).mT.contiguous()
        kernel = adj.unflatten(1, (self.window, -1)).permute(3, 2, 0, 1).flatten(1, 2)
        out = F.conv2d(
            image.permute(0, 3, 1, 2),
            kernel.unsqueeze(-1),
            stride=(self.stride, 1),
            padding=(self.window // 2, 0),
        )
        return out.permute(0, 2, 3, 1).mT

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, "
            f"window={self.window}, num_subsets={self.num_subsets}, stride={self.stride})"
        )
