"""The base class of matchers that compare queries with reference clips."""

from __future__ import annotations

from torch import Tensor

from pyg_fsar.data import EmbeddedClips
from pyg_fsar.matching.base import DistanceMatcher
from pyg_fsar.matching.shots import SHOTS, known_shots

__all__ = ["ReferenceMatcher"]


class ReferenceMatcher(DistanceMatcher):
    r"""Base class of matchers that compare a query with reference clips, which a rule makes of the
    support clips.

    A subclass implements :meth:`pair_distances`.

    Args:
        shots: How support clips make a class, a name of :data:`~pyg_fsar.matching.SHOTS`.
        scale: As for :class:`~pyg_fsar.matching.DistanceMatcher`.
        learn_scale: As for :class:`~pyg_fsar.matching.DistanceMatcher`.

    Raises:
        ValueError: If ``shots`` is unknown or ``scale`` is not positive.

    Example:
        >>> class MeanPose(ReferenceMatcher):
        ...     def pair_distances(self, query, references):
        ...         return torch.cdist(query.x.mean(1).flatten(1), references.x.mean(1).flatten(1))
    """

    def __init__(self, shots: str = "mean", scale: float = 1.0, learn_scale: bool = False) -> None:
        super().__init__(scale, learn_scale)
        self.shots = known_shots(shots)

    def class_distances(self, support: EmbeddedClips, query: EmbeddedClips, n_way: int) -> Tensor:
        """Distances of queries to classes; see :class:`~pyg_fsar.matching.DistanceMatcher`."""
        references = self.references(support, n_way)
        distances = self.pair_distances(query, references)
        return SHOTS[self.shots].class_distances(distances, references, n_way)

    def references(self, support: EmbeddedClips, n_way: int) -> EmbeddedClips:
        """The embedded clips that queries are compared with.

        Args:
            support: Support clips with classes ``0..N-1`` as ``y``.
            n_way: Number of classes, ``N``.
        """
        return SHOTS[self.shots].references(support, n_way)

    def pair_distances(self, query: EmbeddedClips, references: EmbeddedClips) -> Tensor:
        """Distances of all queries to all references.

        Args:
            query: Query clips.
            references: Clips of :meth:`references`.

        Shapes:
            - **output:** ``[Q, R]``
        """
        raise NotImplementedError
