"""Matching of motion features: which joints move, when, and on which side."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.linalg import vector_norm
from torch_geometric.utils import scatter

from pyg_fsar.data import EmbeddedClips, can_read
from pyg_fsar.matching.aligners import DTW
from pyg_fsar.matching.base import DistanceMatcher
from pyg_fsar.matching.bounds import BoundTerms, unit_vectors
from pyg_fsar.matching.costs import CosineCost, EuclideanCost
from pyg_fsar.matching.matcher import Alignment, Matcher
from pyg_fsar.matching.shots import SHOTS, known_shots
from pyg_fsar.skeleton import Skeleton

__all__ = ["MotionMatcher"]

# Below this size a frame or joint counts as one that does not move.
STILL = 1e-8
# Chosen, as all constants here, on the data sets of the documentation's results.
GAP = 0.3


class MotionMatcher(DistanceMatcher):
    r"""Compares clips by the movement of their joints: its course, and how much each joint moves.

    The distance of a query to a reference clip is

    .. math::
        d = \frac{2}{T + T'} \mathrm{dtw}(C) + w \left(1 - \cos(p, p')\right)

    :math:`C` holds squared Euclidean distances between frames, each divided by the sum of its norm
    and the mean norm of the clip's frames: as in a cosine the direction counts, but frames with
    little movement, where direction is mostly noise, count less. The profile :math:`p` of a clip
    is, for every joint and channel, the square root of its root mean square over time: which joints
    move how much, without order.

    With a ``skeleton`` the query is also compared as its mirror image, left and right joints
    swapped and x negated, and the smaller of :math:`d` and ``mirror_factor`` times the distance of
    the image counts: some people do with the left hand what others do with the right. This does not
    hold for a class whose own mirror image is within ``mirror_gap`` of another class, as "swipe
    left" is of "swipe right". The channels of a joint must be vectors of ``skeleton.dims``
    coordinates, as :class:`~pyg_fsar.nn.MotionFeatures` makes them.

    Distances are absolute: other queries have no effect, nor have other classes, except by mirror
    images. There are no weights, unless ``learn_scale``.

    Args:
        skeleton: Layout of the joints for mirror images, or its registered name; None compares
            without.
        profile: Weight :math:`w` of the profile.
        mirror_factor: Factor by which a mirror image is farther, at least 1.
        mirror_gap: Distance to other classes that a class's mirror image needs to count.
        shots: How support clips make a class, a name of :data:`~pyg_fsar.matching.SHOTS`.
        scale: As for :class:`~pyg_fsar.matching.DistanceMatcher`.
        learn_scale: As for :class:`~pyg_fsar.matching.DistanceMatcher`.

    Raises:
        ValueError: If an option is unknown or out of range; on a call, if the clips are not of the
            skeleton.
    """

    def __init__(
        self,
        skeleton: str | Skeleton | None = None,
        profile: float = 1.5,
        mirror_factor: float = 1.2,
        mirror_gap: float = GAP,
        shots: str = "nearest",
        scale: float = 1.0,
        learn_scale: bool = False,
    ) -> None:
        super().__init__(scale, learn_scale)
        for name, value, least in (
            ("profile", profile, 0),
            ("mirror_factor", mirror_factor, 1),
            ("mirror_gap", mirror_gap, 0),
        ):
            if not least <= value < math.inf:  # nor NaN
                raise ValueError(f"{name} must be {least} or more and finite, got {value}")
        self.skeleton = None if skeleton is None else Skeleton.get(skeleton)
        self.profile = profile
        self.mirror_factor = mirror_factor
        self.mirror_gap = mirror_gap
        self.shots = known_shots(shots)
        self.frames = Matcher(EuclideanCost(), DTW())
        self.profile_cost = CosineCost()

    def class_distances(self, support: EmbeddedClips, query: EmbeddedClips, n_way: int) -> Tensor:
        """Distances of queries to classes; see :class:`~pyg_fsar.matching.DistanceMatcher`."""
        references = self.references(support, n_way)
        without = None if self.skeleton is None else self.without_image(references, n_way)
        distances = self.pair_distances(query, references, without)
        return SHOTS[self.shots].class_distances(distances, references, n_way)

    def pair_distances(
        self, query: EmbeddedClips, references: EmbeddedClips, without_image: Tensor | None = None
    ) -> Tensor:
        """Distances of all queries to all references.

        Args:
            query: Queries.
            references: References.
            without_image: For which references mirror images of queries do not count, as
                :meth:`without_image` tells; none of them if not given.

        Shapes:
            - **without_image:** ``[R]``
            - **output:** ``[Q, R]``
        """
        distances = self._pairs(query, references)
        if self.skeleton is None:
            return distances
        if without_image is not None and can_read(without_image) and bool(without_image.all()):
            return distances
        image = self._pairs(query.with_x(self.mirrored(query.x)), references)
        if without_image is not None:
            image = image.masked_fill(without_image, torch.inf)
        return distances.minimum(self.mirror_factor * image)

    def bound_terms(self, clips: EmbeddedClips) -> BoundTerms:
        """What lower bounds of distances are made of."""
        clips = clips.with_x(clips.zero_padded)
        profiles = unit_vectors(_profile(clips).flatten(1))
        return BoundTerms(
            _damped(clips).x.flatten(2), clips.full_lengths, profiles, self.profile, True
        )

    def references(self, support: EmbeddedClips, n_way: int) -> EmbeddedClips:
        """The embedded clips that queries are compared with.

        Args:
            support: Support clips with classes ``0..N-1`` as ``y``.
            n_way: Number of classes, ``N``.
        """
        return SHOTS[self.shots].references(support, n_way)

    def align(self, query: Tensor, reference: Tensor) -> Alignment:
        """Costs of one pair of clips and how the matcher aligns them: those of the query's mirror
        image if that is nearer, whatever other classes there are.

        Shapes:
            - **query:** ``[T, V, C]``
            - **reference:** ``[T', V, C]``
        """
        pair, other = EmbeddedClips(query[None]), EmbeddedClips(reference[None])
        distance, factor = self._pairs(pair, other)[0, 0], 1.0
        if self.skeleton is not None:
            image = self.mirrored(query)
            of_image = self.mirror_factor * self._pairs(pair.with_x(image[None]), other)[0, 0]
            if of_image < distance:
                query, distance, factor = image, of_image, self.mirror_factor
        course = self.frames.align(
            *(_damped(EmbeddedClips(x[None])).x[0] for x in (query, reference))
        )
        share = 2 * factor / (len(query) + len(reference))
        return Alignment(course.cost, share * course.weights, distance.detach())

    def mirrored(self, x: Tensor) -> Tensor:
        """Embedded clips with left and right swapped and x negated.

        Shapes:
            - **x, output:** ``[..., V, C]``

        Raises:
            ValueError: If they are not of the skeleton, or it has none.
        """
        if self.skeleton is None:
            raise ValueError("there is no skeleton to mirror by; make the matcher with skeleton=")
        self.skeleton.check_joints(x.size(-2), "input of MotionMatcher")
        if x.size(-1) % self.skeleton.dims:
            raise ValueError(
                f"MotionMatcher mirrors vectors of {self.skeleton.dims} coordinates, but joints "
                f"have {x.size(-1)} channels; use MotionFeatures as encoder, or skeleton=None"
            )
        sign = torch.ones(x.size(-1), dtype=x.dtype, device=x.device)
        sign[:: self.skeleton.dims] = -1
        return x[..., list(self.skeleton.mirror), :] * sign

    def _pairs(self, query: EmbeddedClips, other: EmbeddedClips) -> Tensor:
        """Distances of all queries to all references without mirroring, ``[Q, R]``."""
        lengths = query.full_lengths[:, None], other.full_lengths
        ragged = query.lengths is not None or other.lengths is not None
        cost = self.frames.cost(_damped(query).x, _damped(other).x)
        course = self.frames.aligner(cost, lengths=lengths if ragged else None)
        course = course * 2 / (lengths[0] + lengths[1]).to(course)
        profiles = self.profile_cost(_profile(query), _profile(other))[..., 0, 0]
        return course + self.profile * profiles

    def without_image(self, references: EmbeddedClips, n_way: int) -> Tensor:
        """Whether a reference's class is, mirrored, near to another class, so that mirror images of
        queries do not count for it.

        Shapes:
            - **output:** ``[R]``
        """
        y = (
            torch.arange(n_way, device=references.x.device)
            if references.y is None
            else references.y
        )
        with torch.no_grad():
            images = references.with_x(self.mirrored(references.x))
            apart = self._pairs(images, references).masked_fill(y[:, None] == y, torch.inf)
            near = scatter(apart.amin(dim=1), y.long(), dim_size=n_way, reduce="min")
        return near[y.long()] < self.mirror_gap

    def extra_repr(self) -> str:
        """Options shown by ``print``."""
        skeleton = None if self.skeleton is None else self.skeleton.name
        return (
            f"skeleton={skeleton!r}, profile={self.profile}, mirror_factor={self.mirror_factor}, "
            f"mirror_gap={self.mirror_gap}, shots={self.shots!r}, "
            f"scale={self.scale if self.log_scale is None else 'learned'}"
        )


def _damped(clips: EmbeddedClips) -> EmbeddedClips:
    """Frames divided by the sum of their norm and its mean over the clip."""
    x = clips.x if clips.x.dtype == torch.float64 else clips.x.float()
    norm = vector_norm(x, dim=(2, 3), keepdim=True).masked_fill(~_real(clips), 0)
    size = norm + norm.sum(dim=1, keepdim=True) / clips.full_lengths[:, None, None, None]
    # An infinite size makes a clip without movement and its gradient exactly zero.
    return clips.with_x(x / size.masked_fill(size <= STILL, torch.inf))


def _profile(clips: EmbeddedClips) -> Tensor:
    """Square root of the root mean square over time, ``[B, 1, V, C]``."""
    x = clips.x if clips.x.dtype == torch.float64 else clips.x.float()
    power = (
        x.square().masked_fill(~_real(clips), 0).sum(dim=1, keepdim=True)
        / clips.full_lengths[:, None, None, None]
    )
    # The root has no derivative at zero; what does not move has none here.
    still = power <= STILL**2
    return power.masked_fill(still, 1).pow(0.25).masked_fill(still, 0)


def _real(clips: EmbeddedClips) -> Tensor:
    """Which frames are no padding, ``[B, T, 1, 1]``."""
    frames = torch.arange(clips.x.size(1), device=clips.x.device)
    return (frames < clips.full_lengths[:, None])[..., None, None]
