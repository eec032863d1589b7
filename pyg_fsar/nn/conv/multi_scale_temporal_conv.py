"""Convolution along time at several scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_fsar.nn.conv.temporal_conv import NormalisedConv, TemporalConv
from pyg_fsar.nn.functional import every_frame

__all__ = ["MultiScaleTemporalConv"]


class MultiScaleTemporalConv(NormalisedConv):
    r"""The temporal convolution of "Disentangling and Unifying Graph Convolutions for
    Skeleton-Based Action Recognition" (CVPR 2020), in branches that share the output channels: one
    convolution for each dilation, one maximum over 3 frames, and one 1 x 1 convolution. All but the
    last begin with a 1 x 1 convolution to their own width, batch normalisation and a rectifier; all
    end with batch normalisation.

    Args:
        in_channels: Size of each input joint.
        out_channels: Size of each output joint, divided among the branches; the first gets what is
            left over.
        kernel_size: Temporal kernel size; odd.
        stride: Step between output frames.
        dilations: Distance between the frames of each convolution's kernel.

    Shapes:
        - **input:** :math:`(B, T, V, C)`
        - **output:** :math:`(B, \lceil T / \text{stride} \rceil, V, C')`

    Raises:
        ValueError: If the kernel size is not odd and positive, a dilation is not positive, or there
            are more branches than output channels.

    Example:
        >>> conv = MultiScaleTemporalConv(64, 64, stride=2)
        >>> conv(torch.randn(2, 30, 25, 64)).shape
        torch.Size([2, 15, 25, 64])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        dilations: Sequence[int] = (1, 2, 3, 4),
    ) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive, got {kernel_size}")
        if any(dilation < 1 for dilation in dilations):
            raise ValueError(f"dilations must be positive, got {tuple(dilations)}")
        num_branches = len(dilations) + 2
        if out_channels < num_branches:
            raise ValueError(
                f"out_channels must be at least {num_branches}, one for each branch; got "
                f"{out_channels}"
            )
        width = out_channels // num_branches
        self.stride = stride
        self.widths = [out_channels - (num_branches - 1) * width] + [width] * len(dilations)
        # One product for all branches, which the public code computes one by one, and one norm.
        self.reduce = TemporalConv(in_channels, sum(self.widths), kernel_size=1)
        self.branches = nn.ModuleList(
            nn.Conv2d(
                width,
                width,
                kernel_size=(kernel_size, 1),
                stride=(stride, 1),
                padding=(kernel_size // 2 * dilation, 0),
                dilation=(dilation, 1),
            )
            for width, dilation in zip(self.widths[:-1], dilations, strict=True)
        )
        self.point = nn.Linear(in_channels, width)
        self.norm = nn.BatchNorm1d(out_channels)

    def convolve(self, x: Tensor) -> Tensor:
        """Convolve along time."""
        # Images [B, C, T, V] are views: channels are last in memory, see TemporalConv.
        hidden = self.reduce(x, relu=True).permute(0, 3, 1, 2)
        *convolved, pooled = hidden.split(self.widths, dim=1)
        outs = [branch(part) for branch, part in zip(self.branches, convolved, strict=True)]
        outs.append(F.max_pool2d(pooled, (3, 1), stride=(self.stride, 1), padding=(1, 0)))
        outs = [out.permute(0, 2, 3, 1) for out in outs]
        return torch.cat([*outs, self.point(every_frame(x, self.stride))], dim=-1)
