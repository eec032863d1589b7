"""Soft-DTW with learned variances."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from pyg_fsar.data import EmbeddedClips
from pyg_fsar.matching.aligners import SoftDTW, soft_alignment
from pyg_fsar.matching.costs import UncertainCost
from pyg_fsar.matching.matcher import Matcher

__all__ = ["UDTWMatcher"]


class UDTWMatcher(Matcher):
    r"""Matcher of "Uncertainty-DTW for Time Series and Sequences" (ECCV 2022): soft-DTW of
    :class:`~pyg_fsar.matching.UncertainCost`, and a penalty of large variances.

    With the expected alignment :math:`A` of a pair, which is taken as constant, its penalty is the
    expected log variance along the soft path,

    .. math::
        \beta \sum_{i,j} A_{ij} \log \big( \sigma^2(x_i) + \sigma^2(y_j) \big) ,

    averaged over all pairs of a query and a reference. :class:`~pyg_fsar.FewShotModel` adds it to
    its penalty in training, whose weight in the loss, ``--lambda`` of the scripts, counts as well.

    Args:
        channels: Size of each joint.
        gamma: Smoothing of soft-DTW.
        band: Radius of a Sakoe-Chiba band in frames; no band if not given.
        beta: Weight of the penalty.
        least: Smallest variance.
        most: Largest variance.
        joint_weights: As for :class:`~pyg_fsar.matching.InnerProductCost`.
        shots: As for :class:`~pyg_fsar.matching.Matcher`.
        scale: As for :class:`~pyg_fsar.matching.Matcher`.
        learn_scale: As for :class:`~pyg_fsar.matching.Matcher`.

    Raises:
        ValueError: If an option is out of range.

    Example:
        >>> encoder = STGCN("ntu25")
        >>> matcher = build_matcher("udtw", channels=encoder.out_channels)
        >>> logits, penalty = FewShotModel(encoder, matcher)(episode)
    """

    cost: UncertainCost
    aligner: SoftDTW

    def __init__(
        self,
        channels: int = 256,
        gamma: float = SoftDTW.gamma,
        band: int | None = None,
        beta: float = 1.0,
        least: float = 0.5,
        most: float = 2.0,
        joint_weights: Sequence[float] | None = None,
        shots: str = "mean",
        scale: float = 1.0,
        learn_scale: bool = False,
    ) -> None:
        if not 0 <= beta < math.inf:
            raise ValueError(f"beta must be 0 or more and finite, got {beta}")
        cost, aligner = UncertainCost(channels, least, most, joint_weights), SoftDTW(gamma, band)
        super().__init__(cost, aligner, shots, scale=scale, learn_scale=learn_scale)
        self.beta = beta

    def pair_penalty(self, support: EmbeddedClips, query: EmbeddedClips, n_way: int) -> Tensor:
        """Expected log variance along the soft path, see the class.

        Args:
            support: Support clips with classes ``0..N-1`` as ``y``.
            query: Query clips.
            n_way: Number of classes, ``N``.

        Shapes:
            - **output:** ``[]``
        """
        references = self.references(support, n_way)
        x, y = query.zero_padded, references.zero_padded
        lengths = query.full_lengths[:, None], references.full_lengths
        aligned = soft_alignment(
            self.cost(x, y).detach(), self.aligner.gamma, lengths, self.aligner.band
        )
        path = (aligned * self.cost.variances(x, y).log()).sum(dim=(-2, -1))
        return self.beta * path.mean()

    def extra_repr(self) -> str:
        """Options shown by ``print``."""
        return f"{super().extra_repr()}, beta={self.beta}"
