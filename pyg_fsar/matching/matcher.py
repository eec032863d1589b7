"""The matcher of most published methods: a frame cost, an aligner, and a rule for shots."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyg_fsar.data import EmbeddedClips, can_read
from pyg_fsar.matching.aligners import DTW
from pyg_fsar.matching.aligners.lengths import PairLengths
from pyg_fsar.matching.bounds import BoundTerms, unit_vectors
from pyg_fsar.matching.costs import CosineCost, EuclideanCost, FrameCost, InnerProductCost
from pyg_fsar.matching.options import check_flag
from pyg_fsar.matching.reference import ReferenceMatcher
from pyg_fsar.matching.shots import SHOTS, consistent_joints

__all__ = ["Alignment", "Matcher"]


class Alignment(NamedTuple):
    """How a matcher sees one pair of clips.

    Shapes:
        - **cost:** ``[T, T']``
        - **weights:** ``[T, T']``, how much each cell counts: the gradient of the distance
        - **distance:** ``[]``

    Example:
        >>> matcher = build_matcher("dtw")
        >>> seen = matcher.align(embeddings[0], embeddings[1])
        >>> seen.cost.shape, seen.weights.shape
        (torch.Size([8, 8]), torch.Size([8, 8]))
    """

    cost: Tensor
    weights: Tensor
    distance: Tensor


class Matcher(ReferenceMatcher):
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
        joint_shrinkage: Let joints count the more, the more alike the support clips of a class are
            there, by inverse variances that are shrunk towards their mean by this fraction, see
            :func:`~pyg_fsar.matching.consistent_joints`. It has no effect with one shot. All joints
            count the same if not given.

    Raises:
        ValueError: If ``shots`` is unknown or ``scale`` is not positive; on a call, also if clips
            of one class differ in length while ``shots="mean"``, those of a pair do and the cost
            needs them equally long, or ``n_way`` is needed to compile.
        TypeError: If ``divergence`` or ``learn_scale`` is neither True nor False.

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
        joint_shrinkage: float | None = None,
    ) -> None:
        super().__init__(shots, scale, learn_scale)
        self.cost = cost
        self.aligner = aligner
        self.divergence = check_flag("divergence", divergence)
        self.joint_shrinkage = joint_shrinkage
        if joint_shrinkage is not None:
            if not 0 < joint_shrinkage <= 1:
                raise ValueError(
                    f"joint_shrinkage must be above 0 and at most 1, got {joint_shrinkage}"
                )
            if divergence or not isinstance(cost, InnerProductCost):
                raise ValueError(
                    "joint_shrinkage needs a cost of inner products, such as cosine or euclidean "
                    "without activation, and no divergence"
                )

    @property
    def compiles_with_n_way(self) -> bool:
        """Whether ``n_way`` is needed to compile: by a cost that depends on the number of pairs,
        with a rule that makes one reference of each class.
        """
        return self.cost.fixed_pairs and SHOTS[self.shots].reduce is None

    def class_distances(self, support: EmbeddedClips, query: EmbeddedClips, n_way: int) -> Tensor:
        """Distances of queries to classes; see :class:`~pyg_fsar.matching.DistanceMatcher`."""
        if self.joint_shrinkage is None:
            return super().class_distances(support, query, n_way)
        references = self.references(support, n_way)
        weights = consistent_joints(support, n_way, self.joint_shrinkage)
        if references.y is not None:
            weights = weights[references.y.long()]
        distances = self.pair_distances(query, references, weights)
        return SHOTS[self.shots].class_distances(distances, references, n_way)

    def bound_terms(self, clips: EmbeddedClips) -> BoundTerms | None:
        """What lower bounds of distances are made of; None if this cost and aligner have none."""
        if self.divergence or self.joint_shrinkage or not isinstance(self.aligner, DTW):
            return None
        if getattr(self.cost, "joint_weights", None) is not None:
            return None
        frames = clips.zero_padded.flatten(2)
        frames = frames if frames.dtype == torch.float64 else frames.float()
        if type(self.cost) is CosineCost:  # half the squared distance of frames of norm 1
            frames = unit_vectors(frames) * math.sqrt(0.5)
        elif type(self.cost) is not EuclideanCost or not self.cost.squared:
            return None
        return BoundTerms(frames, clips.full_lengths)

    def alignment_options(self, support: EmbeddedClips, number: int) -> dict[str, Any]:
        """What :meth:`align` needs to know of the other support clips.

        Args:
            support: Support clips with classes ``0..N-1`` as ``y``.
            number: Class of the reference that a query will be aligned with.
        """
        if self.joint_shrinkage is None or support.y is None:
            return {}
        shots = support[support.y == number]
        shots = shots.with_y(torch.zeros_like(shots.full_lengths))
        return {"weights": consistent_joints(shots, 1, self.joint_shrinkage)[0]}

    def align(self, query: Tensor, reference: Tensor, weights: Tensor | None = None) -> Alignment:
        """Costs of one pair of clips and how the matcher aligns them, for pictures and checks.

        Args:
            query: One embedded clip.
            reference: Another, such as one of :meth:`references`.
            weights: How much each joint counts, see :meth:`alignment_options`; all count the same
                if not given.

        Shapes:
            - **query:** ``[T, V, C]``
            - **reference:** ``[T', V, C]``
            - **weights:** ``[V]``
        """
        each = None if weights is None else weights.detach()[None]
        # The alignment of any aligner is its gradient, also where the caller wants no gradients.
        with torch.inference_mode(False), torch.enable_grad():
            clips = query.detach().clone()[None], reference.detach().clone()[None]
            cost = self.frame_costs(*clips, each)[0, 0].detach().requires_grad_()
            distance = self.aligner(cost)
            (cells,) = torch.autograd.grad(distance, cost)
        return Alignment(cost.detach(), cells, distance.detach())

    def pair_distances(
        self, query: EmbeddedClips, references: EmbeddedClips, weights: Tensor | None = None
    ) -> Tensor:
        """Distances of all queries to all references.

        Args:
            query: Query clips.
            references: Clips of :meth:`references`.
            weights: How much each joint counts beside each reference, ``[R, V]``; all count the
                same if not given.

        Shapes:
            - **output:** ``[Q, R]``
        """
        across = within_query = within_references = None
        if query.lengths is not None or references.lengths is not None:
            n, m = query.full_lengths, references.full_lengths
            across, within_query, within_references = (n[:, None], m), (n, n), (m, m)
            if self.cost.same_length and can_read(n) and bool((n[:, None] != m).any()):
                raise ValueError(
                    f"{type(self.cost).__name__} needs query and support clips of equal length; "
                    "resample all clips to one length (pyg_fsar.transforms.ResampleFrames)"
                )
        distance = self.across(query.x, references.x, across, weights)
        if self.divergence:
            own_query = self.within(query.x, within_query)
            own = self.within(references.x, within_references)
            distance = distance - 0.5 * (own_query[:, None] + own)
        return distance

    def across(
        self,
        x: Tensor,
        y: Tensor,
        lengths: PairLengths | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Distances between all pairs of clips, without the divergence.

        Args:
            x: Query clips.
            y: References.
            lengths: True lengths of padded pairs, as aligners take them.
            weights: As for :meth:`pair_distances`.

        Shapes:
            - **x:** ``[Q, T, V, C]``
            - **y:** ``[R, T', V, C]``
            - **output:** ``[Q, R]``
        """
        return self.aligner(self.frame_costs(x, y, weights), lengths=lengths)

    def frame_costs(self, x: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
        """Costs between all frames of all pairs of clips; see :meth:`across`.

        Shapes:
            - **output:** ``[Q, R, T, T']``
        """
        return self.cost(x, y) if weights is None else self.cost(x, y, weights)

    def within(self, x: Tensor, lengths: PairLengths | None = None) -> Tensor:
        """Distance of each clip to itself.

        Args:
            x: Clips.
            lengths: True lengths of padded pairs, as aligners take them.

        Shapes:
            - **x:** ``[B, T, V, C]``
            - **output:** ``[B]``
        """
        return self.aligner(self.cost.within(x), lengths=lengths)

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
            + ("" if self.joint_shrinkage is None else f", joint_shrinkage={self.joint_shrinkage}")
        )
