"""Edge weights by self-attention over the joints of a frame."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch_geometric.utils import softmax

from pyg_fsar.skeleton import Skeleton

__all__ = ["EdgeAttention"]


class EdgeAttention(nn.Module):
    r"""Gives the edges of a frame weights, by self-attention over its joints.

    In each head, the weight of the edge from joint :math:`i` to joint :math:`j` is

    .. math::
        a_{ij} = \frac{\exp(\mathbf{q}_j^\top \mathbf{k}_i / \sqrt{D})}
        {\sum_{i' \in \mathcal{N}(j)} \exp(\mathbf{q}_j^\top \mathbf{k}_{i'} / \sqrt{D})},
        \qquad \mathbf{q} = \mathbf{W}_q \mathbf{x} + \mathbf{b}, \quad
        \mathbf{k} = \mathbf{W}_k \mathbf{x}

    of "Attention Is All You Need" (NeurIPS 2017). Messages flow from source to target as in PyG:
    the target asks, and the weights of its *incoming* edges sum to one. So the dense form is a
    normalised adjacency as :meth:`pyg_fsar.Skeleton.adjacency` gives it, with heads for subsets,
    which :class:`~pyg_fsar.nn.SpatialGraphConv` takes.

    Args:
        channels: Size of each joint.
        heads: Number of attention heads, ``H``. Each has ``channels / heads`` dimensions.
        skeleton: Layout of the joints, or its registered name; needed for ``hops``.
        hops: Attend to joints at most so many bones away on the skeleton, themselves among them;
            to all joints if not given.

    Shapes:
        - **input:** joints :math:`(*, V, C)`; or :math:`(N, C)` with ``edge_index``
        - **output:** :math:`(*, H, V, V)`, entry ``[..., h, source, target]``; or :math:`(E, H)`

    Raises:
        ValueError: If the heads do not divide the channels, or ``hops`` is negative or given
            without a skeleton.

    Example:
        >>> attention = EdgeAttention(64, skeleton="ntu25", hops=2)
        >>> attention(torch.randn(8, 30, 25, 64)).shape
        torch.Size([8, 30, 4, 25, 25])
        >>> attention(torch.randn(25, 64), data.edge_index).shape  # one row for each edge
        torch.Size([48, 4])
    """

    mask: Tensor | None

    def __init__(
        self,
        channels: int = 256,
        heads: int = 4,
        skeleton: str | Skeleton | None = None,
        hops: int | None = None,
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ValueError(
                f"channels={channels} do not divide among heads={heads}; give another number"
            )
        self.channels = channels
        self.heads = heads
        self.hops = hops
        self.skeleton = None if skeleton is None else Skeleton.get(skeleton)
        mask = None
        if hops is not None:
            if self.skeleton is None:
                raise ValueError(f"hops={hops} are counted on a skeleton; give skeleton=... too")
            if hops < 0:
                raise ValueError(f"hops must not be negative, got {hops}")
            mask = self.skeleton.hop_distance() <= hops
        # Not part of the state: it follows from the arguments.
        self.register_buffer("mask", mask, persistent=False)
        self.query = nn.Linear(channels, channels)
        # A bias would shift all scores of a target alike, which the softmax does not notice.
        self.key = nn.Linear(channels, channels, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew, as :class:`torch.nn.MultiheadAttention` does."""
        # The default of Linear is so small that scores are near zero and all weights nearly equal.
        nn.init.xavier_uniform_(self.query.weight)
        nn.init.xavier_uniform_(self.key.weight)
        nn.init.zeros_(self.query.bias)

    def forward(self, x: Tensor, edge_index: Tensor | None = None) -> Tensor:
        """Weigh the edges of frames, or of an ordinary graph.

        Args:
            x: Joint features.
            edge_index: Edges of an ordinary graph, or of a batch of such. They stand in place of
                the neighbourhood on a skeleton, and get weights for just themselves.

        Raises:
            ValueError: If ``x`` has another number of axes, joints or channels, or ``edge_index``
                is none.
        """
        if x.dim() < 2 or x.size(-1) != self.channels:
            raise ValueError(
                f"expected joints [..., V, {self.channels}], got {list(x.shape)}; give the size of "
                "a joint as channels=..."
            )
        query = self.query(x).unflatten(-1, (self.heads, -1)) / math.sqrt(x.size(-1) // self.heads)
        key = self.key(x).unflatten(-1, (self.heads, -1))
        if edge_index is None:
            return self._dense(query, key)
        if x.dim() != 2 or edge_index.dim() != 2 or edge_index.size(0) != 2:
            raise ValueError(
                "with edge_index [2, E] nodes must be [N, C], got "
                f"{list(edge_index.shape)} and {list(x.shape)}"
            )
        source, target = edge_index
        score = (query[target] * key[source]).sum(dim=-1)
        return softmax(score, target, num_nodes=x.size(0))

    def _dense(self, query: Tensor, key: Tensor) -> Tensor:
        if self.skeleton is not None:
            self.skeleton.check_joints(query.size(-3), "input of EdgeAttention")
        score = key.transpose(-3, -2) @ query.transpose(-3, -2).mT
        if self.mask is not None:
            score = score.masked_fill(~self.mask, -torch.inf)
        return score.softmax(dim=-2)

    def __repr__(self) -> str:
        name = "" if self.skeleton is None else f", skeleton='{self.skeleton.name}'"
        hops = "" if self.hops is None else f", hops={self.hops}"
        return f"{type(self).__name__}({self.channels}, heads={self.heads}{name}{hops})"
