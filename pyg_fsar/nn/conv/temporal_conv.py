"""Convolution along time, joint by joint."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from pyg_fsar.nn.functional import every_frame, prefers_short_conv, short_conv
from pyg_fsar.nn.norm.apply_norm import apply_norm

__all__ = ["NormalisedConv", "TemporalConv"]


class NormalisedConv(nn.Module):
    r"""Base class of convolutions that end with batch normalisation.

    A subclass implements :meth:`convolve` and has a ``norm``. Dropout, a residual and a rectifier,
    which follow the norm in most blocks, are arguments, since one kernel can compute all of them.

    Shapes:
        - **input:** :math:`(B, T, V, C)`
        - **output:** :math:`(B, T', V, C')`

    Example:
        >>> class Identity(NormalisedConv):
        ...     def __init__(self, channels):
        ...         super().__init__()
        ...         self.norm = torch.nn.BatchNorm1d(channels)
        ...     def convolve(self, x):
        ...         return x
        ...
        >>> Identity(64)(embeddings, residual=embeddings, relu=True).shape
        torch.Size([4, 8, 25, 64])
    """

    norm: nn.BatchNorm1d

    def forward(
        self,
        x: Tensor,
        dropout: nn.Dropout | None = None,
        residual: Tensor | None = None,
        relu: bool = False,
    ) -> Tensor:
        """Convolve and normalise.

        Args:
            x: Joints.
            dropout: Applied to what is normalised.
            residual: Added after dropout; of the shape of the output.
            relu: Rectify in the end.
        """
        return apply_norm(self.convolve(x), self.norm, dropout, residual, relu)

    def convolve(self, x: Tensor) -> Tensor:
        """Convolve without the norm."""
        raise NotImplementedError


class TemporalConv(NormalisedConv):
    r"""A convolution over the frames of each joint, followed by batch normalisation.

    Args:
        in_channels: Size of each input joint.
        out_channels: Size of each output joint.
        kernel_size: Number of frames that the kernel spans; odd, so that it has a middle.
        stride: Step between output frames.

    Shapes:
        - **input:** :math:`(B, T, V, C)`
        - **output:** :math:`(B, \lceil T / \text{stride} \rceil, V, C')`

    Raises:
        ValueError: If the kernel size is not odd and positive.

    Example:
        >>> conv = TemporalConv(3, 64, kernel_size=9, stride=2)
        >>> conv(torch.randn(2, 30, 25, 3)).shape
        torch.Size([2, 15, 25, 64])
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 9, stride: int = 1
    ) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive, got {kernel_size}")
        self.conv = _FrameConv(
            in_channels,
            out_channels,
            kernel_size=(kernel_size, 1),
            stride=(stride, 1),
            padding=(kernel_size // 2, 0),
        )
        self.norm = nn.BatchNorm1d(out_channels)

    def convolve(self, x: Tensor) -> Tensor:
        """Convolve along time, without the norm."""
        # [B, T, V, C] is in memory a [B, C, T, V] image with channels last: no copy either way.
        return self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.conv.reset_parameters()
        self.norm.reset_parameters()


class _FrameConv(nn.Conv2d):
    """A convolution of images ``[B, C, T, V]`` along ``T``, by the fastest way for their size."""

    def forward(self, input: Tensor) -> Tensor:
        if self.kernel_size == (1, 1):
            # Select frames before the convolution: a strided one of under 16 channels writes beyond
            # its buffer in the backward pass and crashes (uxlfoundation/oneDNN#6035).
            frames = every_frame(input.permute(0, 2, 3, 1), self.stride[0])
            return F.conv2d(frames.permute(0, 3, 1, 2), self.weight, self.bias)
        x = input.permute(0, 2, 3, 1)
        if self.bias is not None and self.stride == (1, 1) and prefers_short_conv(x, self.weight):
            return short_conv(x, self.weight, self.bias).permute(0, 3, 1, 2)
        return super().forward(input)
