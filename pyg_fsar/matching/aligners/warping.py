"""What hard and soft dynamic time warping share: the operators on batches of any shape."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_fsar.matching.aligners.lengths import PairLengths, check_cost, clean_pairs
from pyg_fsar.matching.kernels import warp, warp_backward

__all__ = ["alignment", "warped"]


def warped(cost: Tensor, gamma: float, lengths: PairLengths | None = None) -> Tensor:
    """Cost of the best alignment of each pair; the hard minimum for ``gamma`` 0.

    Shapes:
        - **cost:** ``[..., N, M]``
        - **output:** ``[...]``
    """
    cost, n, m = clean_pairs(check_cost(cost), lengths)
    total, _ = warp(cost.reshape(-1, *cost.shape[-2:]), n.reshape(-1), m.reshape(-1), gamma)
    return total.view(cost.shape[:-2])


def alignment(cost: Tensor, gamma: float, lengths: PairLengths | None = None) -> Tensor:
    """Gradient of :func:`warped` for the costs; for ``gamma`` 0 it is 1 on the path.

    Shapes:
        - **cost:** ``[..., N, M]``
        - **output:** ``[..., N, M]``
    """
    cost, n, m = clean_pairs(check_cost(cost), lengths)
    n, m = n.reshape(-1), m.reshape(-1)
    total, weights = warp(cost.reshape(-1, *cost.shape[-2:]), n, m, gamma)
    return warp_backward(torch.ones_like(total), weights, n, m).view(cost.shape)
