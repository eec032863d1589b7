"""Neural graph matching: frames compared by their joints and by their edges."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyg_fsar.matching.costs.base import FrameCost
from pyg_fsar.matching.costs.cosine import CosineCost
from pyg_fsar.nn.attention import EdgeAttention
from pyg_fsar.skeleton import Skeleton

__all__ = ["NGMCost"]


class NGMCost(FrameCost):
    r"""Frame cost after "Neural Graph Matching Networks for Fewshot 3D Action Recognition" (ECCV
    2018), in the enhanced form that Ma et al. (ECCV 2022) compare with. Neither published code;
    this is what their descriptions say, and where they leave something open, the simplest choice:

    1. A frame is a graph with the joints for nodes. Its edge weights
       :math:`\mathbf{A}(x) \in [0, 1]^{H \times V \times V}` come from self-attention over its
       joints, see :class:`~pyg_fsar.nn.EdgeAttention`.
    2. Nodes of two frames differ by one minus the cosine of the flattened frames, edges by one
       minus the cosine of all their weights, flattened. Joints correspond by their number.
    3. A learned balance :math:`\beta = \sigma(b)`, at first one half, mixes the two:

    .. math::
        d(x, y) = (1 - \beta) \big(1 - \cos(x, y)\big) +
        \beta \big(1 - \cos(\mathbf{A}(x), \mathbf{A}(y))\big)

    Edge weights are computed once per clip and compared by one matrix product. Half-precision
    input, and input under autocast, is computed in the precision of the weights.

    Args:
        channels: Size of each joint.
        heads: Number of attention heads, ``H``.
        skeleton: Layout of the joints, or its registered name; needed for ``hops``.
        hops: Only joints at most so many bones apart have an edge; all do if not given.
        joint_weights: As for :class:`~pyg_fsar.matching.InnerProductCost`, for the nodes.

    Shapes:
        - **x:** ``[Q, T, V, C]``
        - **y:** ``[S, T', V, C]``
        - **output:** ``[Q, S, T, T']``

    Raises:
        ValueError: As :class:`~pyg_fsar.nn.EdgeAttention`.

    Example:
        >>> NGMCost(channels=64)(embeddings, embeddings[:2]).shape
        torch.Size([4, 2, 8, 8])
    """

    def __init__(
        self,
        channels: int = 256,
        heads: int = 4,
        skeleton: str | Skeleton | None = None,
        hops: int | None = None,
        joint_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.attention = EdgeAttention(channels, heads, skeleton, hops)
        self.cosine = CosineCost(joint_weights)
        self.edge_cosine = CosineCost()
        self.balance_logit = nn.Parameter(torch.zeros(()))

    @property
    def balance(self) -> Tensor:
        """Fraction of the edges in the cost, between 0 and 1."""
        return self.balance_logit.sigmoid()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Costs between all frames of all pairs of clips.

        Shapes:
            - **x:** ``[Q, T, V, C]``
            - **y:** ``[S, T', V, C]``
            - **output:** ``[Q, S, T, T']``

        Raises:
            ValueError: If the clips have another number of axes, or differ in joints, or have other
                channels than the cost was made for.
        """
        return self._mix(self.cosine(x, y), self.edge_cosine(self._edges(x), self._edges(y)))

    def paired(self, x: Tensor, y: Tensor) -> Tensor:
        """Costs between all frames of each clip and the clip at the same place in ``y``.

        Shapes:
            - **x:** ``[B, T, V, C]``
            - **y:** ``[B, T', V, C]``
            - **output:** ``[B, T, T']``

        Raises:
            ValueError: As :meth:`forward`, or if the clips differ in number.
        """
        nodes = self.cosine.paired(x, y)
        edges = self._edges(x)
        others = edges if y is x else self._edges(y)
        return self._mix(nodes, self.edge_cosine.paired(edges, others))

    def _edges(self, x: Tensor) -> Tensor:
        """Edge weights of all heads, ``[B, T, V, C] -> [B, T, H * V, V]``."""
        with torch.autocast(x.device.type, enabled=False):
            return self.attention(x.to(self.balance_logit.dtype)).flatten(2, 3)

    def _mix(self, nodes: Tensor, edges: Tensor) -> Tensor:
        return nodes + self.balance * (edges - nodes)
