"""The ST-GCN++ encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyg_fsar.nn.conv import MultiScaleTemporalConv, NormalisedConv, TemporalConv
from pyg_fsar.nn.models.multi_scale import MultiScaleBlock, MultiScaleEncoder

__all__ = ["STGCNPP", "STGCNPPBlock"]


class MixedTemporalConv(TemporalConv):
    """A 1 x 1 convolution of the branches of a :class:`~pyg_fsar.nn.MultiScaleTemporalConv`."""

    def __init__(
        self, channels: int, kernel_size: int, stride: int, dilations: Sequence[int]
    ) -> None:
        super().__init__(channels, channels, kernel_size=1)
        self.branches = MultiScaleTemporalConv(channels, channels, kernel_size, stride, dilations)

    def convolve(self, x: Tensor) -> Tensor:
        return super().convolve(self.branches(x, relu=True))


class STGCNPPBlock(MultiScaleBlock):
    """One block of :class:`STGCNPP`: a :class:`~pyg_fsar.nn.SpatialGraphConv` on the bones and what
    was learned in addition to them, and a :class:`~pyg_fsar.nn.MultiScaleTemporalConv` whose
    branches are mixed by a 1 x 1 convolution.

    Arguments and shapes are those of :class:`~pyg_fsar.nn.MultiScaleBlock`.

    Example:
        >>> block = STGCNPPBlock(3, 64, num_joints=25)
        >>> block(torch.randn(2, 30, 25, 3), skeleton.adjacency()).shape
        torch.Size([2, 30, 25, 64])
    """

    published = (3, (1, 2, 3, 4))

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_joints: int,
        num_subsets: int = 3,
        **options: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, num_joints, num_subsets, **options)
        nn.init.ones_(self.spatial_norm.weight)
        # The learned graph begins as the bones, so what is learned is the difference from them.
        self.learned = nn.Parameter(torch.zeros(num_subsets, num_joints, num_joints))

    @staticmethod
    def make_temporal(
        channels: int, kernel_size: int, stride: int, dilations: Sequence[int]
    ) -> NormalisedConv:
        """The mixed branches."""
        return MixedTemporalConv(channels, kernel_size, stride, dilations)

    def mix_joints(self, x: Tensor, adj: Tensor) -> Tensor:
        """The spatial half of the block."""
        return super().mix_joints(x, adj + self.learned)


class STGCNPP(MultiScaleEncoder):
    """One stream of ST-GCN++ from "PYSKL: Towards Good Practices for Skeleton Action Recognition"
    (ACM Multimedia 2022), without its classifier.

    Every block learns its graph, which begins as the bones, and looks at several time scales. It
    computes no graphs and so is the fastest of the encoders that learn one. See
    :class:`~pyg_fsar.nn.MultiStream` for the four streams of the paper.

    Arguments, shapes and errors are those of :class:`~pyg_fsar.nn.MultiScaleEncoder`; as published,
    the kernel size is 3, and the dilations are 1 to 4.

    Example:
        >>> encoder = STGCNPP("ntu25")
        >>> encoder(torch.randn(2, 30, 25, 3)).shape
        torch.Size([2, 8, 25, 256])
    """

    block = STGCNPPBlock
