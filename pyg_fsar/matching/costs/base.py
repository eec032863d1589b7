"""What every frame cost offers, and the products that inner-product costs share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.linalg import vector_norm

from pyg_fsar.matching.costs.joint_weights import normalised_weights
from pyg_fsar.nn.pretrained import PretrainedModule

__all__ = ["FrameCost", "InnerProductCost"]


class FrameCost(PretrainedModule):
    r"""Base class of frame costs: how much one frame of a query differs from one of a support.

    A new cost implements :meth:`forward`; :meth:`paired` and :meth:`within` follow from it, and may
    be overridden where a batched form is faster.

    Attributes:
        same_length: Whether the two clips of a pair must have equally many frames.
        fixed_pairs: Whether a compiled graph needs to know the number of pairs.
        needs_penalty: Whether training needs a penalty, so that a matcher without ``pair_penalty``
            refuses to be trained.

    Example:
        >>> class LargestDifference(FrameCost):
        ...     def forward(self, x, y):
        ...         return (x[:, None, :, None] - y[None, :, None]).abs().amax(dim=(-2, -1))
        ...
        >>> LargestDifference()(embeddings, embeddings[:2]).shape
        torch.Size([4, 2, 8, 8])
    """

    same_length: bool = False
    fixed_pairs: bool = False
    needs_penalty: bool = False

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Costs between all frames of all pairs of clips.

        Args:
            x: Query clips.
            y: Support clips.

        Shapes:
            - **x:** ``[Q, T, V, C]``
            - **y:** ``[S, T', V, C]``
            - **output:** ``[Q, S, T, T']``
        """
        raise NotImplementedError

    def paired(self, x: Tensor, y: Tensor) -> Tensor:
        """Costs between all frames of each clip and the clip at the same place in ``y``.

        Shapes:
            - **x:** ``[B, T, V, C]``
            - **y:** ``[B, T', V, C]``
            - **output:** ``[B, T, T']``
        """
        pairs = zip(x.split(1), y.split(1), strict=True)
        return torch.cat([self(clip, other)[0] for clip, other in pairs])

    def within(self, x: Tensor) -> Tensor:
        """Costs between all frames of each clip and that same clip.

        Shapes:
            - **x:** ``[B, T, V, C]``
            - **output:** ``[B, T, T]``
        """
        return self.paired(x, x)


class InnerProductCost(FrameCost):
    r"""A cost that depends on two flattened frames only through :math:`\langle x, y \rangle`,
    :math:`\|x\|` and :math:`\|y\|`.

    All inner products of an episode are one matrix product and norms are taken once per clip, so no
    tensor is larger than the embeddings. Half-precision input, and input under autocast, is
    computed in float32: alignment amplifies what rounding leaves of a difference of products.

    Subclasses implement :meth:`from_products`.

    Args:
        joint_weights: How much each joint counts, ``V`` numbers of 0 or more, which are divided by
            their mean: products become :math:`\sum_v w_v \langle x_v, y_v \rangle`, and norms
            accordingly. All count the same if not given. :func:`~pyg_fsar.matching.joint_weights`
            makes them from names of parts.

    Raises:
        ValueError: If a weight is negative or not finite, or all are zero; on a call, if there are
            not as many as joints.

    Example:
        >>> class SineCost(InnerProductCost):
        ...     def from_products(self, inner, x_norm, y_norm):
        ...         return (1 - (inner / (x_norm * y_norm)) ** 2).clamp(min=0).sqrt()
        ...
        >>> SineCost()(embeddings, embeddings[:2]).shape
        torch.Size([4, 2, 8, 8])
    """

    joint_weights: Tensor | None

    def __init__(self, joint_weights: Sequence[float] | None = None) -> None:
        super().__init__()
        weights = None if joint_weights is None else normalised_weights(joint_weights)
        self.register_buffer("joint_weights", weights, persistent=False)

    def from_products(self, inner: Tensor, x_norm: Tensor, y_norm: Tensor) -> Tensor:
        """Cost from inner products; the arguments broadcast.

        Args:
            inner: Inner product of each frame of ``x`` with each of ``y``.
            x_norm: Norm of each frame of ``x``.
            y_norm: Norm of each frame of ``y``.

        Shapes:
            - **inner:** ``[..., T, T']``
            - **x_norm:** ``[..., T, 1]``
            - **y_norm:** ``[..., 1, T']``
            - **output:** ``[..., T, T']``
        """
        raise NotImplementedError

    def forward(self, x: Tensor, y: Tensor, weights: Tensor | None = None) -> Tensor:
        """Costs between all frames of all pairs of clips.

        Args:
            x: Query clips.
            y: Support clips.
            weights: How much each joint counts beside each support clip, in addition to
                ``joint_weights``; all count the same if not given.

        Shapes:
            - **x:** ``[Q, T, V, C]``
            - **y:** ``[S, T', V, C]``
            - **weights:** ``[S, V]``
            - **output:** ``[Q, S, T, T']``

        Raises:
            ValueError: If the clips have another number of axes, or differ in joints or channels.
        """
        _check_clips(x, y)
        with torch.autocast(x.device.type, enabled=False):
            x, y = self._frames(x), self._frames(y)
            if weights is None:
                x, y = x.flatten(2), y.flatten(2)
                other, x_norm = y, vector_norm(x, dim=-1)[:, None, :, None]
                y_norm = vector_norm(y, dim=-1)
            else:
                weights = weights.to(x)
                x_norm = _root(x.square().sum(dim=-1) @ weights.t()).mT[..., None]
                y_norm = _root((y.square().sum(dim=-1) * weights[:, None]).sum(dim=-1))
                other = (y * weights[:, None, :, None]).flatten(2)
                x = x.flatten(2)
            inner = (x.flatten(0, 1) @ other.flatten(0, 1).t()).view(*x.shape[:2], *y.shape[:2])
            return self.from_products(inner.transpose(1, 2), x_norm, y_norm[:, None])

    def paired(self, x: Tensor, y: Tensor) -> Tensor:
        """Costs between all frames of each clip and the clip at the same place in ``y``.

        Shapes:
            - **x:** ``[B, T, V, C]``
            - **y:** ``[B, T', V, C]``
            - **output:** ``[B, T, T']``

        Raises:
            ValueError: If the clips have another number of axes, or differ in number, joints or
                channels.
        """
        _check_clips(x, y)
        if x.size(0) != y.size(0):
            raise ValueError(f"pairs need as many clips on either side, got {len(x)} and {len(y)}")
        with torch.autocast(x.device.type, enabled=False):
            x, y = self._frames(x).flatten(2), self._frames(y).flatten(2)
            x_norm, y_norm = vector_norm(x, dim=-1), vector_norm(y, dim=-1)
            return self.from_products(x @ y.mT, x_norm[:, :, None], y_norm[:, None])

    def _frames(self, x: Tensor) -> Tensor:
        """Frames in at least float32, with joints scaled by the roots of their weights."""
        x = x if x.dtype == torch.float64 else x.float()
        if self.joint_weights is None:
            return x
        if len(self.joint_weights) != x.size(2):
            raise ValueError(
                f"joint_weights has {len(self.joint_weights)} numbers, but clips have {x.size(2)} "
                "joints; give one for each joint"
            )
        return x * self.joint_weights.to(x).sqrt()[:, None]


def _check_clips(x: Tensor, y: Tensor) -> None:
    if x.dim() != 4 or y.dim() != 4 or x.shape[2:] != y.shape[2:]:
        raise ValueError(
            "a frame cost compares clips [Q, T, V, C] and [S, T', V, C] with the same joints "
            f"and channels, got {tuple(x.shape)} and {tuple(y.shape)}"
        )


def _root(square: Tensor) -> Tensor:
    zero = square <= 0
    # Twice masked, since the root's gradient at zero is infinite even where it is not used.
    return square.masked_fill(zero, 1).sqrt().masked_fill(zero, 0)
