"""The base class of encoders that are a sequence of blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from pyg_fsar.nn.models.encoder import SkeletonEncoder, make_norm
from pyg_fsar.skeleton import Skeleton

__all__ = ["BlockEncoder"]


class BlockEncoder(SkeletonEncoder):
    r"""Base class of encoders that are a row of blocks on one adjacency.

    Args:
        skeleton: Layout of the joints, or its registered name.
        in_channels: Size of each input joint.
        plan: Output channels and temporal stride of every block, see
            :func:`~pyg_fsar.nn.block_plan`.
        block: Makes a block, a module called as ``block(x, adj)``. It gets the numbers of input
            channels, output channels, joints and subsets, and by name ``stride``, ``norm`` and
            ``residual``, which is False for the first.
        strategy: Partition of the bones, see :meth:`pyg_fsar.Skeleton.adjacency`.
        norm: ``"pairnorm"``, or a module on :math:`(*, V, C)` of which every block gets a copy.
        drop_edge: Share of bones dropped in training. All blocks lack the same bones.
        input_norm: As for :class:`~pyg_fsar.nn.SkeletonEncoder`.

    Shapes:
        - **input:** :math:`(B, T, V, C)`
        - **output:** :math:`(B, T', V, C')`

    Raises:
        ValueError: If the partition or a norm is unknown.

    Example:
        >>> block = partial(AGCNBlock, kernel_size=5)
        >>> encoder = BlockEncoder("ntu25", 3, plan=[(16, 1), (32, 2)], block=block)
        >>> encoder(torch.randn(2, 30, 25, 3)).shape
        torch.Size([2, 15, 25, 32])
    """

    adjacency: Tensor

    def __init__(
        self,
        skeleton: str | Skeleton,
        in_channels: int,
        plan: Sequence[tuple[int, int]],
        block: Callable[..., nn.Module],
        strategy: str = "spatial",
        norm: str | nn.Module | None = None,
        drop_edge: float = 0.0,
        input_norm: str = "joint",
    ) -> None:
        total_stride = math.prod(stride for _, stride in plan)
        super().__init__(skeleton, in_channels, plan[-1][0], total_stride, input_norm, drop_edge)
        # Not part of the state: it follows from the arguments.
        self.register_buffer("adjacency", self.skeleton.adjacency(strategy), persistent=False)
        num_subsets, num_joints, _ = self.adjacency.shape
        self.blocks = nn.ModuleList()
        for number, (channels, stride) in enumerate(plan):
            self.blocks.append(
                block(
                    in_channels,
                    channels,
                    num_joints,
                    num_subsets,
                    stride=stride,
                    norm=make_norm(norm),
                    residual=number > 0,
                )
            )
            in_channels = channels

    def encode(self, x: Tensor) -> Tensor:
        """Pass bodies through all blocks."""
        adjacency = self.drop_edge(self.adjacency)
        for block in self.blocks:
            x = block(x, adjacency)
        return x

    def extra_repr(self) -> str:
        """What the representation adds to the channels."""
        return f"num_blocks={len(self.blocks)}"
