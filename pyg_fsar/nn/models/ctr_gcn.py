"""The CTR-GCN encoder."""

from __future__ import annotations

from torch import nn

from pyg_fsar.nn.conv import CTRGraphConv
from pyg_fsar.nn.models.multi_scale import MultiScaleBlock, MultiScaleEncoder

__all__ = ["CTRGCN", "CTRGCNBlock"]


class CTRGCNBlock(MultiScaleBlock):
    """One block of :class:`CTRGCN`: a :class:`~pyg_fsar.nn.CTRGraphConv` and a
    :class:`~pyg_fsar.nn.MultiScaleTemporalConv`.

    Arguments and shapes are those of :class:`~pyg_fsar.nn.MultiScaleBlock`.
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
