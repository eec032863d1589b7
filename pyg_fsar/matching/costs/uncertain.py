"""Euclidean distance in units of a learned variance of each frame."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyg_fsar.matching.costs.base import FrameCost
from pyg_fsar.matching.costs.euclidean import EuclideanCost

__all__ = ["UncertainCost"]


class UncertainCost(FrameCost):
    r"""Frame cost of "Uncertainty-DTW for Time Series and Sequences" (ECCV 2022): every frame has a
    learned variance, and frames that are uncertain cost less.

    .. math::
        d(x, y) = \frac{\|x - y\|^2}{\sigma^2(x) + \sigma^2(y)}, \qquad
        \sigma^2(x) = a + (b - a) \, \operatorname{sigmoid} \Big(
        \frac{1}{V} \sum_v \mathbf{w}^\top \mathbf{x}_v + c \Big)

    Large variances make every cost small, so they need a penalty to be trained, as
    :class:`~pyg_fsar.matching.UDTWMatcher` has it; other matchers refuse to train them.
    Half-precision input, and input under autocast, is computed in the precision of the weights.

    Args:
        channels: Size of each joint.
        least: Smallest variance :math:`a`.
        most: Largest variance :math:`b`.
        joint_weights: As for :class:`~pyg_fsar.matching.InnerProductCost`, for the distance.

    Shapes:
        - **x:** ``[Q, T, V, C]``
        - **y:** ``[S, T', V, C]``
        - **output:** ``[Q, S, T, T']``

    Raises:
        ValueError: If not ``0 < least < most``.

    Example:
        >>> cost = UncertainCost(channels=64)
        >>> cost(embeddings, embeddings[:2]).shape
        torch.Size([4, 2, 8, 8])
    """

    needs_penalty = True

    def __init__(
        self,
        channels: int = 256,
        least: float = 0.5,
        most: float = 2.0,
        joint_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if not 0 < least < most < math.inf:
            raise ValueError(
                f"variances need 0 < least < most, both finite, got least={least}, most={most}"
            )
        self.least = least
        self.most = most
        self.weight = nn.Linear(channels, 1)
        self.distance = EuclideanCost(joint_weights=joint_weights)

    def variance(self, x: Tensor) -> Tensor:
        """Variance of every frame, between ``least`` and ``most``.

        Shapes:
            - **x:** ``[B, T, V, C]``
            - **output:** ``[B, T]``

        Raises:
            ValueError: If joints have other channels than the cost was made for.
        """
        if x.size(-1) != self.weight.in_features:
            raise ValueError(
                f"UncertainCost was made for joints of {self.weight.in_features} channels, got "
                f"{x.size(-1)}; make it with channels={x.size(-1)}"
            )
        with torch.autocast(x.device.type, enabled=False):
            weight = next(self.parameters(), None)  # a quantised layer has none
            mean = x.to(torch.float32 if weight is None else weight.dtype).mean(dim=2)
            fraction = self.weight(mean).squeeze(-1).sigmoid()
            return self.least + (self.most - self.least) * fraction

    def variances(self, x: Tensor, y: Tensor) -> Tensor:
        """Sum of the variances of two frames, for all frames of all pairs of clips.

        Shapes:
            - **x:** ``[Q, T, V, C]``
            - **y:** ``[S, T', V, C]``
            - **output:** ``[Q, S, T, T']``
        """
        return self.variance(x)[:, None, :, None] + self.variance(y)[:, None, :]

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Costs between all frames of all pairs of clips.

        Shapes:
            - **x:** ``[Q, T, V, C]``
            - **y:** ``[S, T', V, C]``
            - **output:** ``[Q, S, T, T']``

        Raises:
            ValueError: If the clips have another number of axes, differ in joints or channels, or
                have other channels than the cost was made for.
        """
        return self.distance(x, y) / self.variances(x, y)

    def paired(self, x: Tensor, y: Tensor) -> Tensor:
        """Costs between all frames of each clip and the clip at the same place in ``y``.

        Shapes:
            - **x:** ``[B, T, V, C]``
            - **y:** ``[B, T', V, C]``
            - **output:** ``[B, T, T']``

        Raises:
            ValueError: As :meth:`forward`, or if the clips differ in number.
        """
        variances = self.variance(x)[:, :, None] + self.variance(y)[:, None, :]
        return self.distance.paired(x, y) / variances

    def extra_repr(self) -> str:
        """Options shown by ``print``."""
        return f"least={self.least}, most={self.most}"
