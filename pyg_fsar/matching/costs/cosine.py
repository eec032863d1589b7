"""One minus the cosine of two frames."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_fsar.matching.costs.base import InnerProductCost

__all__ = ["CosineCost", "cosine_cost"]

# Below this norm a frame counts as empty, as in torch.nn.functional.cosine_similarity.
EMPTY = 1e-8


class CosineCost(InnerProductCost):
    r"""Frame cost :math:`1 - \cos(x, y)` of the flattened frames, between 0 and 2.

    An all-zero frame has no direction: its cost is 1 to any frame, and its gradient is zero.

    Args:
        joint_weights: As for :class:`~pyg_fsar.matching.InnerProductCost`.

    Shapes:
        - **x:** ``[Q, T, V, C]``
        - **y:** ``[S, T', V, C]``
        - **output:** ``[Q, S, T, T']``

    Example:
        >>> CosineCost()(embeddings, embeddings[:2]).shape
        torch.Size([4, 2, 8, 8])
    """

    def from_products(self, inner: Tensor, x_norm: Tensor, y_norm: Tensor) -> Tensor:
        """Cost from inner products; see :class:`InnerProductCost`."""
        return 1 - inner * _reciprocal(x_norm) * _reciprocal(y_norm)


def cosine_cost(x: Tensor, y: Tensor) -> Tensor:
    r"""One minus the cosine between all frames of all pairs of clips; see :class:`CosineCost`.

    Args:
        x: Query clips.
        y: Support clips.

    Shapes:
        - **x:** ``[Q, T, V, C]``
        - **y:** ``[S, T', V, C]``
        - **output:** ``[Q, S, T, T']``

    Raises:
        ValueError: If the clips have another number of axes, or differ in joints or channels.
    """
    return CosineCost()(x, y)


def _reciprocal(norm: Tensor) -> Tensor:
    # An infinite norm makes both the cosine and every gradient of an empty frame exactly zero.
    return norm.masked_fill(norm <= EMPTY, torch.inf).reciprocal()
