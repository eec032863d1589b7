"""The CTR-GCN encoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from pyg_fsar.nn.conv import CTRGraphConv, MultiScaleTemporalConv, NormalisedConv
from pyg_fsar.nn.models.multi_scale import MultiScaleBlock, MultiScaleEncoder

__all__ = ["CTRGCN", "PYSKLCTRGCN", "CTRGCNBlock", "PYSKLCTRGCNBlock"]


class CTRGCNBlock(MultiScaleBlock):
    """One block of :class:`CTRGCN`: a :class:`~pyg_fsar.nn.CTRGraphConv` and a
    :class:`~pyg_fsar.nn.MultiScaleTemporalConv`.

    Arguments and shapes are those of :class:`~pyg_fsar.nn.MultiScaleBlock`.

    Example:
        >>> block = CTRGCNBlock(3, 64, num_joints=25)
        >>> block(torch.randn(2, 30, 25, 3), skeleton.adjacency()).shape
        torch.Size([2, 30, 25, 64])
    """

    published = (5, (1, 2))

    @staticmethod
    def make_spatial(
        in_channels: int, out_channels: int, num_joints: int, num_subsets: int
    ) -> nn.Module:
        """A graph for every channel, computed for each body."""
        return CTRGraphConv(in_channels, out_channels, num_joints, num_subsets)


class CTRGCN(MultiScaleEncoder):
    """One stream of "Channel-wise Topology Refinement Graph Convolution for Skeleton-Based Action
    Recognition" (ICCV 2021), without its classifier.

    Every block gives every channel a graph of its own, which it computes for each body. See
    :class:`~pyg_fsar.nn.MultiStream` for the four streams of the paper.

    Arguments, shapes and errors are those of :class:`~pyg_fsar.nn.MultiScaleEncoder`; as published,
    the kernel size is 5, and the dilations are 1 and 2.

    Example:
        >>> encoder = CTRGCN("ntu25")
        >>> encoder(torch.randn(2, 30, 25, 3)).shape
        torch.Size([2, 8, 25, 256])
    """

    block = CTRGCNBlock


class RectifiedTemporalConv(MultiScaleTemporalConv):
    """A :class:`~pyg_fsar.nn.MultiScaleTemporalConv` that is rectified before the residual."""

    def forward(
        self,
        x: Tensor,
        dropout: nn.Dropout | None = None,
        residual: Tensor | None = None,
        relu: bool = False,
    ) -> Tensor:
        """Convolve, normalise and rectify; see :class:`~pyg_fsar.nn.NormalisedConv`."""
        out = super().forward(x, relu=True)
        out = out if dropout is None else dropout(out)
        out = out if residual is None else out + residual
        return out.relu() if relu else out


class PYSKLCTRGCNBlock(CTRGCNBlock):
    """One block of :class:`PYSKLCTRGCN`.

    Arguments and shapes are those of :class:`~pyg_fsar.nn.MultiScaleBlock`.

    Example:
        >>> block = PYSKLCTRGCNBlock(3, 64, num_joints=25)
        >>> block(torch.randn(2, 30, 25, 3), skeleton.adjacency()).shape
        torch.Size([2, 30, 25, 64])
    """

    @staticmethod
    def make_temporal(
        channels: int, kernel_size: int, stride: int, dilations: Sequence[int]
    ) -> NormalisedConv:
        """The convolution over time, rectified before the residual is added."""
        return RectifiedTemporalConv(channels, channels, kernel_size, stride, dilations)


class PYSKLCTRGCN(CTRGCN):
    """:class:`CTRGCN` as PYSKL has it, with a rectifier after the temporal convolution of each
    block, before the residual is added. For its checkpoints, see
    :func:`~pyg_fsar.nn.ctrgcn_from_public`.

    Arguments, shapes and errors are those of :class:`~pyg_fsar.nn.MultiScaleEncoder`.

    Example:
        >>> encoder = PYSKLCTRGCN("ntu25")
        >>> encoder(torch.randn(2, 30, 25, 3)).shape
        torch.Size([2, 8, 25, 256])
    """

    block = PYSKLCTRGCNBlock
