"""Euclidean distance between two frames."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from pyg_fsar.matching.costs.base import InnerProductCost
from pyg_fsar.matching.options import check_flag

__all__ = ["EuclideanCost", "euclidean_cost"]


class EuclideanCost(InnerProductCost):
    r"""Frame cost :math:`\|x - y\|^2` of the flattened frames.

    It is computed as :math:`\|x\|^2 + \|y\|^2 - 2 \langle x, y \rangle`, whose rounding error is
    that of the norms: frames far from the origin should be centred first.

    Args:
        squared: Give the squared distance, otherwise the distance. Where the distance is zero its
            gradient is too.
        joint_weights: As for :class:`~pyg_fsar.matching.InnerProductCost`.

    Shapes:
        - **x:** ``[Q, T, V, C]``
        - **y:** ``[S, T', V, C]``
        - **output:** ``[Q, S, T, T']``

    Example:
        >>> EuclideanCost()(embeddings, embeddings[:2]).shape
        torch.Size([4, 2, 8, 8])
    """

    def __init__(self, squared: bool = True, joint_weights: Sequence[float] | None = None) -> None:
        super().__init__(joint_weights)
        self.squared = check_flag("squared", squared)

    def from_products(self, inner: Tensor, x_norm: Tensor, y_norm: Tensor) -> Tensor:
        """Cost from inner products; see :class:`InnerProductCost`."""
        distance = x_norm.square() + y_norm.square() - 2 * inner
        if self.squared:
            return distance.clamp_min(0)
        zero = distance <= 0
        # Twice masked, since the root's gradient at zero is infinite even where it is not used.
        return distance.masked_fill(zero, 1).sqrt().masked_fill(zero, 0)

    def extra_repr(self) -> str:
        """Options shown by ``print``."""
        return f"squared={self.squared}"


def euclidean_cost(x: Tensor, y: Tensor, squared: bool = True) -> Tensor:
    r"""Squared Euclidean distance between all frames of all pairs of clips; see
    :class:`EuclideanCost`.

    Args:
        x: Query clips.
        y: Support clips.
        squared: Give the squared distance, otherwise the distance.

    Shapes:
        - **x:** ``[Q, T, V, C]``
        - **y:** ``[S, T', V, C]``
        - **output:** ``[Q, S, T, T']``

    Raises:
        ValueError: If the clips have another number of axes, or differ in joints or channels.
    """
    return EuclideanCost(squared)(x, y)
