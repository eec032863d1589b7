"""Matching of motion features: which joints move, when, and on which side."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.linalg import vector_norm
from torch_geometric.utils import scatter

from pyg_fsar.data import EmbeddedClips, can_read, mirror_vectors
from pyg_fsar.matching.aligners import DTW
from pyg_fsar.matching.bounds import BoundTerms, unit_vectors
from pyg_fsar.matching.costs import CosineCost, EuclideanCost
from pyg_fsar.matching.matcher import Alignment, Matcher
from pyg_fsar.matching.reference import ReferenceMatcher
from pyg_fsar.matching.shots import SHOTS
from pyg_fsar.skeleton import Skeleton

__all__ = ["MotionMatcher"]

# Below this size a frame or joint counts as one that does not move.
STILL = 1e-8
# Chosen, as all constants here, on the data sets of the documentation's results.
FACTOR, GAP = 1.2, 0.3
EMBEDDING = 0.1


class MotionMatcher(ReferenceMatcher):
    r"""Compares clips by the movement of their joints: its course, and how much each joint moves.

    The distance of a query to a reference clip is

    .. math::
        d = \frac{2}{T + T'} \mathrm{dtw}(C) + w \left(1 - \cos(p, p')\right)
            + u \left(1 - \cos(e, e')\right)

    :math:`C` holds squared Euclidean distances between frames, each divided by the sum of its norm
    and the mean norm of the clip's frames: as in a cosine the direction counts, but frames with
    little movement, where direction is mostly noise, count less. The profile :math:`p` of a clip
    is, for every joint and channel, the square root of its root mean square over time: which joints
    move how much, without order. The last term is for encoders that learn: :math:`e` is the mean
    over time of their last ``learned`` channels, which :math:`C` and :math:`p` leave out.

    With a ``skeleton`` the query is also compared as its mirror image, left and right joints
    swapped and x negated, and the smaller of :math:`d` and ``mirror_factor`` times the distance of
    the image counts: some people do with the left hand what others do with the right. This does not
    hold for a class whose own mirror image is within ``mirror_gap`` of another class, as "swipe
    left" is of "swipe right". The channels of a joint must be vectors of ``skeleton.dims``
    coordinates, as :class:`~pyg_fsar.nn.MotionFeatures` makes them.

    Distances are absolute: other queries have no effect, nor have other classes, except by mirror
    images. The matcher has no trained weights, unless ``learn_scale``.

    Args:
        skeleton: Layout of the joints for mirror images, or its registered name; None compares
            without.
        profile: Weight :math:`w` of the profile.
        mirror_factor: Factor by which a mirror image is farther, at least 1.
        mirror_gap: Distance to other classes that a class's mirror image needs to count.
        learned: Number of learned channels of a joint, the last ones; vectors of ``skeleton.dims``
            coordinates, too.
        embedding: Weight :math:`u` of these; it has no effect without any.
        shots: How support clips make a class, a name of :data:`~pyg_fsar.matching.SHOTS`.
        scale: As for :class:`~pyg_fsar.matching.DistanceMatcher`.
        learn_scale: As for :class:`~pyg_fsar.matching.DistanceMatcher`.

    Raises:
        ValueError: If an option is unknown, out of range, or of mirror images without a skeleton;
            on a call, if the clips are not of the skeleton.

    Example:
        >>> matcher = MotionMatcher("body15")
        >>> features = MotionFeatures("body15")(torch.randn(4, 20, 15, 3))
        >>> matcher(features[:2], torch.arange(2), features).shape
        torch.Size([4, 2])
    """

    def __init__(
        self,
        skeleton: str | Skeleton | None = None,
        profile: float = 1.5,
        mirror_factor: float = FACTOR,
        mirror_gap: float = GAP,
        learned: int = 0,
        embedding: float = EMBEDDING,
        shots: str = "nearest",
        scale: float = 1.0,
        learn_scale: bool = False,
    ) -> None:
        super().__init__(shots, scale, learn_scale)
        for name, value, least in (
            ("profile", profile, 0),
            ("mirror_factor", mirror_factor, 1),
            ("mirror_gap", mirror_gap, 0),
            ("learned", learned, 0),
            ("embedding", embedding, 0),
        ):
            if not least <= value < math.inf:  # nor NaN
                raise ValueError(f"{name} must be {least} or more and finite, got {value}")
        if skeleton is None and (mirror_factor, mirror_gap) != (FACTOR, GAP):
            raise ValueError(
                "mirror_factor and mirror_gap have no effect without a skeleton to mirror by; give "
                "skeleton="
            )
        self.skeleton = None if skeleton is None else Skeleton.get(skeleton)
        if self.skeleton is not None and learned % self.skeleton.dims:
            raise ValueError(
                f"learned must be a multiple of {self.skeleton.dims} to be mirrored, got {learned}"
            )
        self.profile = profile
        self.mirror_factor = mirror_factor
        self.mirror_gap = mirror_gap
        self.learned = learned
        self.embedding = embedding
        self.frames = Matcher(EuclideanCost(), DTW())
        self.profile_cost = CosineCost()

    def class_distances(self, support: EmbeddedClips, query: EmbeddedClips, n_way: int) -> Tensor:
        """Distances of queries to classes; see :class:`~pyg_fsar.matching.DistanceMatcher`."""
        references = self.references(support, n_way)
        counts = None if self.skeleton is None else self.counts_mirrored(references, n_way)
        distances = self.pair_distances(query, references, counts)
        return SHOTS[self.shots].class_distances(distances, references, n_way)

    def bound_terms(self, clips: EmbeddedClips) -> BoundTerms:
        """What lower bounds of distances are made of; what is learned only adds to them."""
        clips = self._moving(clips.with_x(clips.zero_padded))
        profiles = unit_vectors(_profile(clips).flatten(1))
        return BoundTerms(
            _damped(clips).x.flatten(2), clips.full_lengths, profiles, self.profile, True
        )

    def alignment_options(self, support: EmbeddedClips, number: int) -> dict[str, bool]:
        """What :meth:`align` needs to know of the other classes.

        Args:
            support: Support clips with classes ``0..N-1`` as ``y``.
            number: Class of the reference that a query will be aligned with.
        """
        if self.skeleton is None or support.y is None:
            return {}
        n_way = int(support.y.max()) + 1
        references = self.references(support, n_way)
        counts = self.counts_mirrored(references, n_way)
        return {"mirror": bool(counts[_classes(references, n_way) == number].all())}

    def align(self, query: Tensor, reference: Tensor, mirror: bool = True) -> Alignment:
        """Costs of one pair of clips and how the matcher aligns them: those of the query's mirror
        image if that counts and is nearer.

        Args:
            query: One embedded clip.
            reference: Another, such as one of :meth:`references`.
            mirror: Whether mirror images count, which depends on the other classes, see
                :meth:`alignment_options`; without a skeleton they never do.

        Shapes:
            - **query:** ``[T, V, C]``
            - **reference:** ``[T', V, C]``
        """
        pair, factor = EmbeddedClips(query[None]), 1.0
        if self.mirrors(query, reference, mirror):
            query, factor = self.mirrored(query), self.mirror_factor
            pair = pair.with_x(query[None])
        distance = factor * self.pair_distances(pair, EmbeddedClips(reference[None]))[0, 0]
        course = self.frames.align(
            *(_damped(self._moving(EmbeddedClips(x[None]))).x[0] for x in (query, reference))
        )
        share = 2 * factor / (len(query) + len(reference))
        return Alignment(course.cost, share * course.weights, distance.detach())

    def mirrors(self, query: Tensor, reference: Tensor, mirror: bool = True) -> bool:
        """Whether :meth:`align` takes the query's mirror image; arguments as there."""
        if self.skeleton is None or not mirror:
            return False
        pair, other = EmbeddedClips(query[None]), EmbeddedClips(reference[None])
        image = self.pair_distances(pair.with_x(self.mirrored(query)[None]), other)
        return bool(self.mirror_factor * image < self.pair_distances(pair, other))

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
        return mirror_vectors(x, self.skeleton)

    def pair_distances(
        self, query: EmbeddedClips, references: EmbeddedClips, mirrored: Tensor | None = None
    ) -> Tensor:
        """Distances of all queries to all references.

        Args:
            query: Query clips.
            references: Clips of :meth:`references`.
            mirrored: For which references mirror images of queries count, see
                :meth:`counts_mirrored`; for none if not given.

        Shapes:
            - **mirrored:** bool ``[R]``
            - **output:** ``[Q, R]``
        """
        distances = self.plain_distances(query, references)
        if mirrored is None or (can_read(mirrored) and not bool(mirrored.any())):
            return distances
        image = self.plain_distances(query.with_x(self.mirrored(query.x)), references)
        return distances.minimum(self.mirror_factor * image.masked_fill(~mirrored, torch.inf))

    def plain_distances(self, query: EmbeddedClips, references: EmbeddedClips) -> Tensor:
        """Distances of all queries to all references, without mirror images.

        Shapes:
            - **output:** ``[Q, R]``
        """
        learned = self._learned(query, references) if self.learned and self.embedding else 0
        query, references = self._moving(query), self._moving(references)
        lengths = query.full_lengths[:, None], references.full_lengths
        ragged = query.lengths is not None or references.lengths is not None
        cost = self.frames.cost(_damped(query).x, _damped(references).x)
        course = self.frames.aligner(cost, lengths=lengths if ragged else None)
        course = course * 2 / (lengths[0] + lengths[1]).to(course)
        profiles = self.profile_cost(_profile(query), _profile(references))[..., 0, 0]
        return course + self.profile * profiles + self.embedding * learned

    def _moving(self, clips: EmbeddedClips) -> EmbeddedClips:
        """Clips without the learned channels."""
        if self.learned >= clips.x.size(-1):
            raise ValueError(
                f"MotionMatcher(learned={self.learned}) needs joints of more than {self.learned} "
                f"channels, got {clips.x.size(-1)}; encode with MotionEncoder"
            )
        return clips.with_x(clips.x[..., : clips.x.size(-1) - self.learned])

    def _learned(self, query: EmbeddedClips, other: EmbeddedClips) -> Tensor:
        """Distances by the learned channels, ``[Q, R]``."""
        means = (self.clip_vectors(clips)[:, None, None] for clips in (query, other))
        return self.profile_cost(*means)[..., 0, 0]

    def clip_vectors(self, clips: EmbeddedClips) -> Tensor:
        """The learned channels of each clip, or all if none is learned, in the mean over time. The
        losses beside the episodic one train them, see :class:`~pyg_fsar.training.ClipHead`.

        Shapes:
            - **output:** ``[B, V * C]``
        """
        # In at least single precision, as all distances here.
        x = clips.x[..., -self.learned :]
        x = x if x.dtype == torch.float64 else x.float()
        return clips.with_x(x).time_mean.flatten(1)

    def counts_mirrored(self, references: EmbeddedClips, n_way: int) -> Tensor:
        """Whether a reference's class is, mirrored, far from every other class, so that mirror
        images of queries count for it.

        Shapes:
            - **output:** ``[R]``
        """
        y = _classes(references, n_way)
        with torch.no_grad():
            images = references.with_x(self.mirrored(references.x))
            apart = self.pair_distances(images, references).masked_fill(y[:, None] == y, torch.inf)
            near = scatter(apart.amin(dim=1), y.long(), dim_size=n_way, reduce="min")
        return near[y.long()] >= self.mirror_gap

    def extra_repr(self) -> str:
        """Options shown by ``print``."""
        skeleton = None if self.skeleton is None else self.skeleton.name
        return (
            f"skeleton={skeleton!r}, profile={self.profile}, mirror_factor={self.mirror_factor}, "
            f"mirror_gap={self.mirror_gap}, learned={self.learned}, embedding={self.embedding}, "
            f"shots={self.shots!r}, "
            f"scale={self.scale if self.log_scale is None else 'learned'}"
        )


def _classes(references: EmbeddedClips, n_way: int) -> Tensor:
    """Class of each reference, ``[R]``."""
    if references.y is None:
        return torch.arange(n_way, device=references.x.device)
    return references.y


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
