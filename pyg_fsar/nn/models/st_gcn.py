"""The ST-GCN encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyg_fsar.nn.conv import NormalisedConv, SpatialGraphConv, TemporalConv
from pyg_fsar.nn.models.block_encoder import BlockEncoder
from pyg_fsar.nn.models.encoder import block_plan
from pyg_fsar.nn.norm.apply_norm import apply_norm
from pyg_fsar.skeleton import Skeleton

__all__ = ["STGCN", "STGCNBlock"]


class STGCNBlock(nn.Module):
    r"""One block of :class:`STGCN`: a spatial graph convolution, a temporal one, and a residual.

    Args:
        in_channels: Size of each input joint.
        out_channels: Size of each output joint.
        num_subsets: Number of subsets of the adjacency, ``K``.
        stride: Temporal stride.
        kernel_size: Temporal kernel size.
        dropout: Share of features zeroed before the residual is added.
        residual: Add the input, by a 1 x 1 convolution if its shape changes.
        norm: A module on :math:`(*, V, C)` that comes before the last rectifier.
        spatial: A graph convolution, called as ``spatial(x, adj)``, other than
            :class:`~pyg_fsar.nn.SpatialGraphConv`.
        temporal: Another :class:`~pyg_fsar.nn.NormalisedConv` than
            :class:`~pyg_fsar.nn.TemporalConv`, with the stride given.

    Shapes:
        - **x:** :math:`(B, T, V, C)`
        - **adj:** :math:`(K, V, V)` or :math:`(B, K, V, V)`
        - **output:** :math:`(B, \lceil T / \text{stride} \rceil, V, C')`

    Example:
        >>> block = STGCNBlock(3, 64, stride=2)
        >>> block(torch.randn(2, 30, 25, 3), skeleton.adjacency()).shape
        torch.Size([2, 15, 25, 64])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_subsets: int = 3,
        stride: int = 1,
        kernel_size: int = 9,
        dropout: float = 0.0,
        residual: bool = True,
        norm: nn.Module | None = None,
        spatial: nn.Module | None = None,
        temporal: NormalisedConv | None = None,
    ) -> None:
        super().__init__()
        self.spatial = spatial or SpatialGraphConv(in_channels, out_channels, num_subsets)
        self.norm = None if isinstance(norm, nn.Identity) else norm
        self.spatial_norm = nn.BatchNorm1d(out_channels)
        self.temporal = temporal or TemporalConv(out_channels, out_channels, kernel_size, stride)
        self.dropout = nn.Dropout(dropout)
        self.residual: nn.Module | None = None
        if residual and in_channels == out_channels and stride == 1:
            self.residual = nn.Identity()
        elif residual:
            self.residual = TemporalConv(in_channels, out_channels, kernel_size=1, stride=stride)

    def forward(self, x: Tensor, adj: Tensor) -> Tensor:
        """Convolve over joints, then over time."""
        residual = None if self.residual is None else self.residual(x)
        mixed = self.mix_joints(x, adj)
        out = self.temporal(mixed, self.dropout, residual, relu=self.norm is None)
        return out if self.norm is None else self.norm(out).relu()

    def mix_joints(self, x: Tensor, adj: Tensor) -> Tensor:
        """The spatial half of the block."""
        return apply_norm(self.spatial(x, adj), self.spatial_norm, relu=True)


class STGCN(BlockEncoder):
    r"""The encoder of "Spatial Temporal Graph Convolutional Networks for Skeleton-Based Action
    Recognition" (AAAI 2018), without its classifier.

    Args:
        skeleton: Layout of the joints, or its registered name.
        in_channels: Size of each input joint.
        num_blocks: 10 as published: 64 channels four times, 128 and 256 three times, with temporal
            stride 2 where channels double. Ma et al. (ECCV 2022) also use 4 and 7 blocks without
            publishing their channels; here these are 64, 64, 128, 256 and 64 (three times), 128,
            256 (twice each), so that all three have the same output shape. 2 blocks of 64 channels
            keep all frames: for small data, on which more blocks only learn their classes by heart.
        strategy: Partition of the bones, see :meth:`pyg_fsar.Skeleton.adjacency`.
        dropout: Share of features zeroed in each block.
        edge_importance: Learn a weight for every bone in every block.
        norm: ``"pairnorm"``, or a module on :math:`(*, V, C)` of which every block gets a copy
            before its last rectifier. Any earlier a batch norm would follow, and take a scale away.
        drop_edge: Share of bones dropped in training. All blocks lack the same bones.
        kernel_size: Temporal kernel size.
        input_norm: ``"joint"`` normalises every channel of every joint, as published. This brings
            joints that hardly move up to those that do. ``"channel"`` normalises channels over all
            joints, which keeps their proportions.
        plan: Instead of ``num_blocks``, the output channels and temporal stride of every block.

    Shapes:
        - **input:** :math:`(B, T, V, C)`
        - **output:** :math:`(B, T', V, C')`, by default with
          :math:`T' = \lceil \lceil T / 2 \rceil / 2 \rceil` and :math:`C' = 256`

    Raises:
        ValueError: If the number of blocks, the partition or a norm is unknown, or the plan is
            empty.

    Example:
        >>> encoder = STGCN("ntu25")
        >>> encoder(torch.randn(2, 30, 25, 3)).shape
        torch.Size([2, 8, 25, 256])
    """

    def __init__(
        self,
        skeleton: str | Skeleton,
        in_channels: int = 3,
        num_blocks: int = 10,
        strategy: str = "spatial",
        dropout: float = 0.1,
        edge_importance: bool = False,
        norm: str | nn.Module | None = None,
        drop_edge: float = 0.0,
        kernel_size: int = 9,
        input_norm: str = "joint",
        plan: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        def block(
            in_channels: int, channels: int, num_joints: int, num_subsets: int, **options: Any
        ) -> STGCNBlock:
            options |= {"kernel_size": kernel_size, "dropout": dropout}
            return STGCNBlock(in_channels, channels, num_subsets, **options)

        plan = block_plan(num_blocks, plan)
        super().__init__(skeleton, in_channels, plan, block, strategy, norm, drop_edge, input_norm)
        self.mixes_frames = kernel_size > 1 or self.stride > 1
        self.edge_importance = nn.ParameterList(
            [nn.Parameter(torch.ones_like(self.adjacency)) for _ in plan] if edge_importance else []
        )

    def encode(self, x: Tensor) -> Tensor:
        """Pass bodies through all blocks."""
        adjacency = self.drop_edge(self.adjacency)
        for number, block in enumerate(self.blocks):
            adj = adjacency * self.edge_importance[number] if self.edge_importance else adjacency
            x = block(x, adj)
        return x
