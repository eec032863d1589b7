"""The 2s-AGCN encoder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from torch import Tensor, nn

from pyg_fsar.nn.conv import AdaptiveGraphConv, NormalisedConv, TemporalConv
from pyg_fsar.nn.models.block_encoder import BlockEncoder
from pyg_fsar.nn.models.encoder import block_plan
from pyg_fsar.nn.models.st_gcn import STGCNBlock
from pyg_fsar.nn.norm.apply_norm import apply_norm
from pyg_fsar.skeleton import Skeleton

__all__ = ["AGCN", "AGCNBlock"]


class AGCNBlock(STGCNBlock):
    r"""One block of :class:`AGCN`: that of :class:`STGCN` with an
    :class:`~pyg_fsar.nn.AdaptiveGraphConv`, around which the input is added a second time.

    Args:
        in_channels: Size of each input joint.
        out_channels: Size of each output joint.
        num_joints: Number of joints, ``V``.
        num_subsets: Number of subsets of the adjacency, ``K``.
        stride: Temporal stride.
        kernel_size: Temporal kernel size.
        dropout: Share of features zeroed before the residual is added.
        residual: Add the input of the block, by a 1 x 1 convolution if its shape changes.
        norm: A module on :math:`(*, V, C)` that comes before the last rectifier.
        spatial: Another graph convolution, called as ``spatial(x, adj)``.
        temporal: Another :class:`~pyg_fsar.nn.NormalisedConv` than
            :class:`~pyg_fsar.nn.TemporalConv`, with the stride given.

    Shapes:
        - **x:** :math:`(B, T, V, C)`
        - **adj:** :math:`(K, V, V)`
        - **output:** :math:`(B, \lceil T / \text{stride} \rceil, V, C')`

    Example:
        >>> block = AGCNBlock(3, 64, num_joints=25)
        >>> block(torch.randn(2, 30, 25, 3), skeleton.adjacency()).shape
        torch.Size([2, 30, 25, 64])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_joints: int,
        num_subsets: int = 3,
        stride: int = 1,
        kernel_size: int = 9,
        dropout: float = 0.0,
        residual: bool = True,
        norm: nn.Module | None = None,
        spatial: nn.Module | None = None,
        temporal: NormalisedConv | None = None,
    ) -> None:
        spatial = spatial or AdaptiveGraphConv(in_channels, out_channels, num_joints, num_subsets)
        super().__init__(
            in_channels,
            out_channels,
            stride=stride,
            kernel_size=kernel_size,
            dropout=dropout,
            residual=residual,
            norm=norm,
            spatial=spatial,
            temporal=temporal,
        )
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = TemporalConv(in_channels, out_channels, kernel_size=1)
        # So that a block begins as a temporal convolution with nothing else, and its graphs grow
        # only as far as they help: the paper's "without breaking the initial behaviour".
        nn.init.constant_(self.spatial_norm.weight, 1e-6)

    def mix_joints(self, x: Tensor, adj: Tensor) -> Tensor:
        """The spatial half of the block."""
        out, shortcut = self.spatial(x, adj), self.shortcut(x)
        return apply_norm(out, self.spatial_norm, residual=shortcut, relu=True)


class AGCN(BlockEncoder):
    r"""One stream of "Two-Stream Adaptive Graph Convolutional Networks for Skeleton-Based Action
    Recognition" (CVPR 2019), without its classifier.

    Every block adds to the bones a graph that it learns, and one that it computes for each body
    from the similarity of its joints. See :class:`~pyg_fsar.nn.MultiStream` for both streams.

    Args:
        skeleton: Layout of the joints, or its registered name.
        in_channels: Size of each input joint.
        num_blocks: 10 as published; 2, 4 and 7 as for :class:`STGCN`.
        strategy: Partition of the bones, see :meth:`pyg_fsar.Skeleton.adjacency`.
        dropout: Share of features zeroed in each block; none as published.
        norm: ``"pairnorm"``, or a module on :math:`(*, V, C)` of which every block gets a copy
            before its last rectifier, see :class:`STGCN`.
        drop_edge: Share of bones dropped in training. All blocks lack the same bones; the learned
            and the computed graphs are no bones and keep their entries.
        kernel_size: Temporal kernel size.
        input_norm: ``"joint"`` as published or ``"channel"``, see :class:`SkeletonEncoder`.
        plan: Instead of ``num_blocks``, the output channels and temporal stride of every block.

    Shapes:
        - **input:** :math:`(B, T, V, C)`
        - **output:** :math:`(B, T', V, C')`, by default with
          :math:`T' = \lceil \lceil T / 2 \rceil / 2 \rceil` and :math:`C' = 256`

    Raises:
        ValueError: If the number of blocks, the partition or a norm is unknown, or the plan is
            empty.

    Example:
        >>> encoder = AGCN("ntu25")
        >>> encoder(torch.randn(2, 30, 25, 3)).shape
        torch.Size([2, 8, 25, 256])
    """

    #: A subclass may have other blocks of the same arguments.
    block: ClassVar[type[AGCNBlock]] = AGCNBlock

    def __init__(
        self,
        skeleton: str | Skeleton,
        in_channels: int = 3,
        num_blocks: int = 10,
        strategy: str = "spatial",
        dropout: float = 0.0,
        norm: str | nn.Module | None = None,
        drop_edge: float = 0.0,
        kernel_size: int = 9,
        input_norm: str = "joint",
        plan: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        block = partial(self.block, kernel_size=kernel_size, dropout=dropout)
        plan = block_plan(num_blocks, plan)
        super().__init__(skeleton, in_channels, plan, block, strategy, norm, drop_edge, input_norm)
