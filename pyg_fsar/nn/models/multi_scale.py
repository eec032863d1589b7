"""The base class of encoders with multi-scale temporal convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from torch import nn

from pyg_fsar.nn.conv import MultiScaleTemporalConv, NormalisedConv, SpatialGraphConv
from pyg_fsar.nn.models.agcn import AGCNBlock
from pyg_fsar.nn.models.block_encoder import BlockEncoder
from pyg_fsar.nn.models.encoder import block_plan
from pyg_fsar.skeleton import Skeleton

__all__ = ["MultiScaleBlock", "MultiScaleEncoder"]


class MultiScaleBlock(AGCNBlock):
    r"""A block with a graph convolution, around which the input is added, and temporal branches of
    several dilations.

    A subclass makes its convolutions in :meth:`make_spatial` and :meth:`make_temporal`.

    Args:
        in_channels: Size of each input joint.
        out_channels: Size of each output joint.
        num_joints: Number of joints, ``V``.
        num_subsets: Number of subsets of the adjacency, ``K``.
        stride: Temporal stride.
        kernel_size: Size of the temporal kernels; as published if not given.
        dilations: Dilation of each temporal kernel; as published if not given.
        dropout: Probability of features to be zeroed before the residual is added.
        residual: Add the input of the block, by a 1 x 1 convolution if its shape changes.
        norm: A module on :math:`(*, V, C)` that comes before the last rectifier.

    Shapes:
        - **x:** :math:`(B, T, V, C)`
        - **adj:** :math:`(K, V, V)`
        - **output:** :math:`(B, \lceil T / \text{stride} \rceil, V, C')`

    Example:
        >>> class Block(MultiScaleBlock):
        ...     published = (3, (1, 2))
        ...
        >>> block = Block(3, 64, num_joints=25)
        >>> block(torch.randn(2, 30, 25, 3), skeleton.adjacency()).shape
        torch.Size([2, 30, 25, 64])
    """

    #: Kernel size and dilations as published.
    published: ClassVar[tuple[int, tuple[int, ...]]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_joints: int,
        num_subsets: int = 3,
        stride: int = 1,
        kernel_size: int | None = None,
        dilations: Sequence[int] | None = None,
        dropout: float = 0.0,
        residual: bool = True,
        norm: nn.Module | None = None,
    ) -> None:
        kernel_size = self.published[0] if kernel_size is None else kernel_size
        dilations = self.published[1] if dilations is None else dilations
        super().__init__(
            in_channels,
            out_channels,
            num_joints,
            stride=stride,
            dropout=dropout,
            residual=residual,
            norm=norm,
            spatial=self.make_spatial(in_channels, out_channels, num_joints, num_subsets),
            temporal=self.make_temporal(out_channels, kernel_size, stride, dilations),
        )

    @staticmethod
    def make_spatial(
        in_channels: int, out_channels: int, num_joints: int, num_subsets: int
    ) -> nn.Module:
        """The graph convolution, called as ``spatial(x, adj)``."""
        return SpatialGraphConv(in_channels, out_channels, num_subsets)

    @staticmethod
    def make_temporal(
        channels: int, kernel_size: int, stride: int, dilations: Sequence[int]
    ) -> NormalisedConv:
        """The convolution over time."""
        return MultiScaleTemporalConv(channels, channels, kernel_size, stride, dilations)


class MultiScaleEncoder(BlockEncoder):
    r"""Base class of encoders that are a row of one kind of :class:`MultiScaleBlock`.

    A subclass names it as ``block``.

    Args:
        skeleton: Layout of the joints, or its registered name.
        in_channels: Size of each input joint.
        num_blocks: 10 as published; 2, 4 and 7 as for :class:`~pyg_fsar.nn.STGCN`.
        strategy: Partition of the bones, see :meth:`pyg_fsar.Skeleton.adjacency`.
        dropout: Probability of features to be zeroed in each block; none as published.
        norm: ``"pairnorm"``, or a module on :math:`(*, V, C)` of which every block gets a copy
            before its last rectifier, see :class:`~pyg_fsar.nn.STGCN`.
        drop_edge: Probability of bones to be dropped in training. All blocks lack the same bones;
            learned and computed graphs are no bones and keep their entries.
        kernel_size: Size of the temporal kernels; as published if not given.
        dilations: Dilation of each temporal kernel; as published if not given.
        input_norm: ``"joint"`` as published or ``"channel"``, see
            :class:`~pyg_fsar.nn.SkeletonEncoder`.
        plan: Instead of ``num_blocks``, the output channels and temporal stride of every block.

    Shapes:
        - **input:** :math:`(B, T, V, C)`
        - **output:** :math:`(B, T', V, C')`, by default with
          :math:`T' = \lceil \lceil T / 2 \rceil / 2 \rceil` and :math:`C' = 256`

    Raises:
        ValueError: If the number of blocks, the partition or a norm is unknown, the plan is empty,
            or channels do not suffice for the branches of a temporal convolution.

    Example:
        >>> class Encoder(MultiScaleEncoder):
        ...     block = STGCNPPBlock
        ...
        >>> Encoder("ntu25", num_blocks=4)(torch.randn(2, 30, 25, 3)).shape
        torch.Size([2, 8, 25, 256])
    """

    block: ClassVar[type[MultiScaleBlock]]

    def __init__(
        self,
        skeleton: str | Skeleton,
        in_channels: int = 3,
        num_blocks: int = 10,
        strategy: str = "spatial",
        dropout: float = 0.0,
        norm: str | nn.Module | None = None,
        drop_edge: float = 0.0,
        kernel_size: int | None = None,
        dilations: Sequence[int] | None = None,
        input_norm: str = "joint",
        plan: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        block = partial(self.block, kernel_size=kernel_size, dilations=dilations, dropout=dropout)
        plan = block_plan(num_blocks, plan)
        super().__init__(skeleton, in_channels, plan, block, strategy, norm, drop_edge, input_norm)
