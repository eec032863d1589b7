"""The matcher of most published methods: a frame cost, an aligner, and a rule for shots."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from pyg_fsar.data import EmbeddedClips, can_read
from pyg_fsar.matching.aligners import DTW
from pyg_fsar.matching.base import DistanceMatcher
from pyg_fsar.matching.bounds import BoundTerms, unit_vectors
from pyg_fsar.matching.costs import CosineCost, EuclideanCost, FrameCost
from pyg_fsar.matching.shots import SHOTS, known_shots

__all__ = ["Alignment", "Matcher"]


class Alignment(NamedTuple):
    """How a matcher sees one pair of clips.

    Shapes:
        - **cost:** ``[T, T']``
        - **weights:** ``[T, T']``, how much each cell counts: the gradient of the distance
        - **distance:** ``[]``
    """

    cost: Tensor
    weights: Tensor
    distance: Tensor


class Matcher(DistanceMatcher):
    r"""Scores queries against classes by aligning their frames in time.

    Args:
        cost: Frame cost.
        aligner: Function from costs ``[..., T, T']`` and a keyword ``lengths`` to distances
            ``[...]``, such as :class:`~pyg_fsar.matching.SoftDTW`.
        shots: How support clips make a class, a name of :data:`~pyg_fsar.matching.SHOTS`:
            ``"mean"`` aligns a query once per class, with the mean of its support clips;
            ``"average"`` aligns it with each support clip and averages the distances,
            ``"nearest"`` takes the smallest; ``"barycentre"`` aligns it with the class's soft-DTW
            barycentre.
        divergence: Subtract from each distance the mean of the two clips' distances to
            themselves, which makes a soft alignment zero between equal clips.
        scale: Logits are distances times ``-scale``.
        learn_scale: Train the scale, which stays positive.

    Raises:
        ValueError: If ``shots`` is unknown or ``scale`` is not positive; on a call, also if clips
            of one class differ in length while ``shots="mean"``, those of a pair do and the cost
            needs them equally long, or ``n_way`` is needed to compile.

    Example:
        >>> matcher = Matcher(CosineCost(), SoftDTW(gamma=0.1), shots="average")
    """

    def __init__(
        self,
        cost: FrameCost,
        aligner: Callable[..., Tensor],
        shots: str = "mean",
        divergence: bool = False,
        scale: float = 1.0,
        learn_scale: bool = False,
    ) -> None:
        super().__init__(scale, learn_scale)
        self.cost = cost
        self.aligner = aligner
        self.shots = known_shots(shots)
        self.divergence = divergence

    @property
    def compiles_with_n_way(self) -> bool:
        """Whether ``n_way`` is needed to compile: by a cost that depends on the number of pairs,
        with a rule that makes one reference of each class.
        """
        return self.cost.fixed_pairs and SHOTS[self.shots].reduce is None

    def class_distances(self, support: EmbeddedClips, query: EmbeddedClips, n_way: int) -> Tensor:
        """Distances of queries to classes; see :class:`~pyg_fsar.matching.DistanceMatcher`."""
        references = self.references(support, n_way)
        distances = self.pair_distances(query, references)
        return SHOTS[self.shots].class_distances(distances, references, n_way)

    def bound_terms(self, clips: EmbeddedClips) -> BoundTerms | None:
        """What lower bounds of distances are made of; None if this cost and aligner have none."""
        if self.divergence or not isinstance(self.aligner, DTW):
            return None
        frames = clips.zero_padded.flatten(2)
        frames = frames if frames.dtype == torch.float64 else frames.float()
        if type(self.cost) is CosineCost:  # half the squared distance of frames of norm 1
            frames = unit_vectors(frames) * math.sqrt(0.5)
        elif type(self.cost) is not EuclideanCost or not self.cost.squared:
            return None
        return BoundTerms(frames, clips.full_lengths)

    def references(self, support: EmbeddedClips, n_way: int) -> EmbeddedClips:
        """The embedded clips that queries are aligned with.

        Args:
            support: Support clips with classes ``0..N-1`` as ``y``.
            n_way: Number of classes, ``N``.
        """
        return SHOTS[self.shots].references(support, n_way)

    def align(self, query: Tensor, reference: Tensor) -> Alignment:
        """Costs of one pair of clips and how the matcher aligns them, for pictures and checks.

        Args:
            query: One embedded clip.
            reference: Another, such as one of :meth:`references`.

        Shapes:
            - **query:** ``[T, V, C]``
            - **reference:** ``[T', V, C]``
        """
        # The alignment of any aligner is its gradient, also where the caller wants no gradients.
        with torch.inference_mode(False), torch.enable_grad():
            cost = self.cost(query.detach().clone()[None], reference.detach().clone()[None])[0, 0]
            cost = cost.detach().requires_grad_()
            distance = self.aligner(cost)
            (weights,) = torch.autograd.grad(distance, cost)
        return Alignment(cost.detach(), weights, distance.detach())

    def pair_distances(self, query: EmbeddedClips, other: EmbeddedClips) -> Tensor:
        """Distances of all queries to all references.

        Shapes:
            - **output:** ``[Q, R]``
        """
        across = within_query = within_other = None
        if query.lengths is not None or other.lengths is not None:
            n, m = query.full_lengths, other.full_lengths
            across, within_query, within_other = (n[:, None], m), (n, n), (m, m)
            if self.cost.same_length and can_read(n) and bool((n[:, None] != m).any()):
                raise ValueError(
                    f"{type(self.cost).__name__} needs query and support clips of equal length; "
                    "resample all clips to one length (pyg_fsar.transforms.ResampleFrames)"
                )
        distance = self.aligner(self.cost(query.x, other.x), lengths=across)
        if self.divergence:
            own_query = self.aligner(self.cost.within(query.x), lengths=within_query)
            own_other = self.aligner(self.cost.within(other.x), lengths=within_other)
            distance = distance - 0.5 * (own_query[:, None] + own_other)
        return distance

    def extra_repr(self) -> str:
        """Options shown by ``print``."""
        aligner = self.aligner
        if isinstance(aligner, partial):
            options = ", ".join(f"{key}={value!r}" for key, value in aligner.keywords.items())
            shown = f"{aligner.func.__name__}({options})"
        else:
            shown = getattr(aligner, "__name__", repr(aligner))
        return (
            f"aligner={shown}, shots={self.shots!r}, divergence={self.divergence}, "
            f"scale={self.scale if self.log_scale is None else 'learned'}"
        )
