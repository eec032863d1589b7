"""Frame costs after spatial activation."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from pyg_fsar.kernels import Activated, activated_products, exporting, has_kernel
from pyg_fsar.matching.costs.base import FrameCost, InnerProductCost
from pyg_fsar.matching.costs.cosine import CosineCost
from pyg_fsar.nn.attention import JointActivation, QueryMaps, SpatialActivation, SupportMaps
from pyg_fsar.nn.hooks import has_hooks

__all__ = ["ActivatedCost"]

# Bytes that a chunk may keep for its gradient: a 5-way 1-shot episode fits. For each clip of a pair
# these are KEPT_WEIGHTS numbers for each two joints and head, and unless products are fused,
# KEPT_JOINTS tensors of the size of an activated clip.
BUDGET = 5 * 2**27
KEPT_WEIGHTS, KEPT_JOINTS = 4, 5


class ActivatedCost(FrameCost):
    r"""Frame cost between clips that activate each other, after Ma et al. (ECCV 2022): the two
    clips of a pair first go through :class:`~pyg_fsar.nn.SpatialActivation`, then their frames are
    compared.

    Linear maps are taken once per clip and attention once per pair. On a CPU with a C++ compiler,
    where the cost is an :class:`InnerProductCost` and the channels fill vector registers, a kernel
    takes the products of activated frames without writing any activated clip to memory. Otherwise
    activated clips are kept for the gradient. If all that is kept would exceed 640 MiB, pairs are
    taken in chunks, which are computed again in the backward pass with the same dropout.

    Args:
        channels: Size of each joint.
        heads: Number of attention heads.
        dropout: Fraction of attention weights, and of what they add to a joint, dropped in
            training.
        value_from: The clip whose joints are mixed: ``"self"`` or ``"other"``.
        cost: Cost between the frames of activated clips; :class:`CosineCost` if not given.
        chunk_size: Number of query clips to take at a time; as many as memory allows if not given.

    Shapes:
        - **x:** ``[Q, T, V, C]``
        - **y:** ``[S, T, V, C]``
        - **output:** ``[Q, S, T, T]``

    Raises:
        ValueError: If an option is out of range.

    Example:
        >>> cost = ActivatedCost(channels=64)
        >>> cost(embeddings, embeddings[:2]).shape
        torch.Size([4, 2, 8, 8])
    """

    same_length = True
    fixed_pairs = True

    def __init__(
        self,
        channels: int = 256,
        heads: int = 1,
        dropout: float = 0.2,
        value_from: str = "self",
        cost: FrameCost | None = None,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(f"chunk_size must be at least 1, got {chunk_size}")
        self.activation = SpatialActivation(channels, heads, dropout, value_from)
        self.cost = CosineCost() if cost is None else cost
        self.chunk_size = chunk_size

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Costs between all frames of all pairs of clips.

        Shapes:
            - **x:** ``[Q, T, V, C]``
            - **y:** ``[S, T, V, C]``
            - **output:** ``[Q, S, T, T]``

        Raises:
            ValueError: If the clips do not fit together, or have another number of channels.
        """
        self.activation.x_from_y.check(x, y)
        queries: tuple[Tensor, ...] = (x,)
        support: tuple[Tensor, ...] = (y,)
        # Decided here, since the backward pass, which computes chunks again, must do the same.
        fused = False
        if self.activation.may_fold():
            queries, support = self.activation.query_maps(x), self.activation.support_maps(y)
            fused = self._may_fuse() and has_kernel(
                "activation", x.size(-1), torch.promote_types(x.dtype, torch.float32), x.device
            )
        size = self.chunk_size or self._chunk_size(y, fused)
        if exporting() or size >= len(x):  # the number of queries stays open in an exported graph
            return self._compare(fused, *queries, *support)
        chunks = zip(*(part.split(size) for part in queries), strict=True)
        return torch.cat(
            [
                checkpoint(self._compare, fused, *chunk, *support, use_reentrant=False)
                for chunk in chunks
            ]
        )

    def within(self, x: Tensor) -> Tensor:
        """Costs between all frames of each clip and that same clip, both activated by the other.

        Shapes:
            - **x:** ``[B, T, V, C]``
            - **output:** ``[B, T, T]``
        """
        # Attention does not see time: one long clip has the same pairs of frames as many clips.
        frames = x.flatten(0, 1).unsqueeze(0)
        return self.cost.paired(*(side.view_as(x) for side in self.activation(frames, frames)))

    def _compare(self, fused: bool, *maps: Tensor) -> Tensor:
        """Costs ``[Q, S, T, T]`` from query and support clips, or from the maps of both."""
        if len(maps) == 2:
            num_support = maps[1].size(0)
            clips = self.activation(*maps)
        else:
            x, y = QueryMaps(*maps[:2]), SupportMaps(*maps[2:])
            if fused:
                inner, x_norm, y_norm = self._products(x, y)
                cost = cast(InnerProductCost, self.cost)
                return cost.from_products(inner, x_norm[..., None], y_norm[..., None, :])
            num_support = y.joints.size(0)
            clips = self.activation.pairs(x, y)
        costs = self.cost.paired(*(side.flatten(0, 1) for side in clips))
        return costs.unflatten(0, (maps[0].size(0), num_support))

    def _may_fuse(self) -> bool:
        """Whether the kernel computes this cost: it knows one dropout for both directions."""
        x, y = (
            (direction.dropout.p, direction.dropout.training, direction.norm.eps)
            for direction in (self.activation.x_from_y, self.activation.y_from_x)
        )
        if not isinstance(self.cost, InnerProductCost) or has_hooks(self.cost):
            return False
        return self.cost.joint_weights is None and x == y

    def _products(self, x: QueryMaps, y: SupportMaps) -> tuple[Tensor, Tensor, Tensor]:
        """Inner products and norms of the frames of all pairs."""
        scores, values = self.activation.scores(x, y), self.activation.values(x, y)
        first, second = self.activation.x_from_y, self.activation.y_from_x
        return activated_products(
            _side(first, x.joints, scores[0], values[0]),
            _side(second, y.joints, scores[1], values[1]),
            own_values=self.activation.value_from == "self",
            dropout=first.dropout.p if first.dropout.training else 0.0,
            eps=first.norm.eps,
        )

    def _chunk_size(self, y: Tensor, fused: bool) -> int:
        """Number of query clips whose pairs with all of ``y`` fit into the budget."""
        kept_of_joint = KEPT_WEIGHTS * self.activation.x_from_y.heads * y.size(2)
        if not fused:
            kept_of_joint += KEPT_JOINTS * y.size(3)
        # Not nbytes, which torch.compile cannot tell of a size that changes.
        kept = kept_of_joint * torch.promote_types(y.dtype, torch.float32).itemsize
        return max(1, BUDGET // (2 * kept * y[..., 0].numel()))

    def extra_repr(self) -> str:
        """Options shown by ``print``."""
        return "" if self.chunk_size is None else f"chunk_size={self.chunk_size}"


def _side(direction: JointActivation, joints: Tensor, scores: Tensor, values: Tensor) -> Activated:
    """Input of the kernel for one clip of each pair, in at least float32."""
    with torch.autocast(joints.device.type, enabled=False):
        return Activated(
            _full(joints),
            _full(scores).softmax(dim=-1).transpose(3, 4).flatten(4),
            _full(values).flatten(2, 3),
            _full(direction.out.bias),
            _full(direction.norm.weight),
            _full(direction.norm.bias),
        )


def _full(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
