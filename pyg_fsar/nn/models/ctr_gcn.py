"""The CTR-GCN encoder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn

from pyg_fsar.nn.conv import CTRGraphConv, MultiScaleTemporalConv
from pyg_fsar.nn.models.agcn import AGCNBlock
from pyg_fsar.nn.models.block_encoder import BlockEncoder
from pyg_fsar.nn.models.encoder import block_plan
from pyg_fsar.skeleton import Skeleton

__all__ = ["CTRGCN", "CTRGCNBlock"]


class CTRGCNBlock(AGCNBlock):
    r"""One block of :class:`CTRGCN`: that of :class:`AGCN` with a
    :class:`~pyg_fsar.nn.CTRGraphConv` and a :class:`~pyg_fsar.nn.MultiScaleTemporalConv`.

    Args:
        in_channels: Size of each input joint.
        out_channels: Size of each output joint.
        num_joints: Number of joints, ``V``.
        num_subsets: Number of subsets of the adjacency, ``K``.
        stride: Temporal stride.
        kernel_size: Size of the temporal kernels.
        dilations: Dilation of each temporal kernel.
        dropout: Share of features zeroed before the residual is added.
        residual: Add the input of the block, by a 1 x 1 convolution if its shape changes.
        norm: A module on :math:`(*, V, C)` that comes before the last rectifier.

    Shapes:
        - **x:** :math:`(B, T, V, C)`
        - **adj:** :math:`(K, V, V)`
        - **output:** :math:`(B, \lceil T / \text{stride} \rceil, V, C')`
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_joints: int,
        num_subsets: int = 3,
        stride: int = 1,
        kernel_size: int = 5,
        dilations: Sequence[int] = (1, 2),
        dropout: float = 0.0,
        residual: bool = True,
        norm: nn.Module | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            num_joints,
            stride=stride,
            dropout=dropout,
            residual=residual,
            norm=norm,
            spatial=CTRGraphConv(in_channels, out_channels, num_joints, num_subsets),
            temporal=MultiScaleTemporalConv(
                out_channels, out_channels, kernel_size, stride, dilations
            ),
        )


class CTRGCN(BlockEncoder):
    r"""One stream of "Channel-wise Topology Refinement Graph Convolution for Skeleton-Based Action
    Recognition" (ICCV 2021), without its classifier.

    Every block gives every channel a graph of its own, which it computes for each body. See
    :class:`~pyg_fsar.nn.MultiStream` for the four streams of the paper.

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
        kernel_size: Size of the temporal kernels.
        dilations: Dilation of each temporal kernel.
        input_norm: ``"joint"`` as published or ``"channel"``, see :class:`SkeletonEncoder`.
        plan: Instead of ``num_blocks``, the output channels and temporal stride of every block.

    Shapes:
        - **input:** :math:`(B, T, V, C)`
        - **output:** :math:`(B, T', V, C')`, by default with
          :math:`T' = \lceil \lceil T / 2 \rceil / 2 \rceil` and :math:`C' = 256`

    Raises:
        ValueError: If the number of blocks, the partition or a norm is unknown, the plan is empty,
            or channels do not suffice for the branches of a temporal convolution.

    Example:
        >>> encoder = CTRGCN("ntu25")
        >>> encoder(torch.randn(2, 30, 25, 3)).shape
        torch.Size([2, 8, 25, 256])
    """

    def __init__(
        self,
        skeleton: str | Skeleton,
        in_channels: int = 3,
        num_blocks: int = 10,
        strategy: str = "spatial",
        dropout: float = 0.0,
        norm: str | nn.Module | None = None,
        drop_edge: float = 0.0,
        kernel_size: int = 5,
        dilations: Sequence[int] = (1, 2),
        input_norm: str = "joint",
        plan: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        block = partial(CTRGCNBlock, kernel_size=kernel_size, dilations=dilations, dropout=dropout)
        plan = block_plan(num_blocks, plan)
        super().__init__(skeleton, in_channels, plan, block, strategy, norm, drop_edge, input_norm)
