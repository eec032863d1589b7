"""Convolution along time, joint by joint."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_fsar import kernels
from pyg_fsar.nn.norm.apply_norm import apply_norm

__all__ = ["NormalisedConv", "TemporalConv"]


class NormalisedConv(nn.Module):
    r"""Base class of convolutions that end with batch normalisation.

    A subclass implements :meth:`convolve` and has a ``norm``. What follows a norm in most blocks is
    asked for along with it, since both at once take less time.

    Shapes:
        - **input:** :math:`(B, T, V, C)`
        - **output:** :math:`(B, T', V, C')`
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
        """All but the norm."""
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
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 9, stride: int = 1
    ) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive, got {kernel_size}")
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size=(kernel_size, 1),
            stride=(stride, 1),
            padding=(kernel_size // 2, 0),
        )
        self.conv.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.norm = nn.BatchNorm1d(out_channels)

    def convolve(self, x: Tensor) -> Tensor:
        """Convolve along time, without the norm."""
        conv = self.conv
        if (
            conv.stride == (1, 1)
            and conv.bias is not None
            and kernels.short_conv_pays(x, conv.weight)
        ):
            return kernels.short_conv(x, conv.weight, conv.bias)
        # [B, T, V, C] is in memory a [B, C, T, V] image with channels last: no copy either way.
        x = x.permute(0, 3, 1, 2)
        if conv.kernel_size == (1, 1):
            # Leaves frames out before, not within the convolution, which for fewer than 16 channels
            # writes beyond its buffer in backward and crashes (uxlfoundation/oneDNN#6035).
            x = F.conv2d(x[:, :, :: conv.stride[0]], conv.weight, conv.bias)
        else:
            x = conv(x)
        return x.permute(0, 2, 3, 1)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.conv.reset_parameters()
        self.norm.reset_parameters()
