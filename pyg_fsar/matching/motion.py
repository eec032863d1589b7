"""Matching of motion features: which joints move, when, and on which side."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_fsar.data import EmbeddedClips
from pyg_fsar.matching.aligners import DTW
from pyg_fsar.matching.base import DistanceMatcher
from pyg_fsar.matching.costs import CosineCost
from pyg_fsar.matching.matcher import Alignment, Matcher
from pyg_fsar.matching.shots import SHOTS
from pyg_fsar.skeleton import Skeleton

__all__ = ["MotionMatcher"]


class MotionMatcher(DistanceMatcher):
    r"""Compares clips by the movement of their joints: its course, and how much each joint moves.

    The distance of a query to a reference clip is

    .. math::
        d = \frac{2}{T + T'} \mathrm{dtw}(C) + w \left(1 - \cos(p, p')\right)

    where :math:`C` is the cosine cost of the frames and :math:`p` the clip's profile: for every
    joint and channel the square root of its root mean square over time. The profile does not depend
    on the order of what happens, which dynamic time warping cannot change.

    With a ``skeleton`` the query is also compared as its mirror image, left and right joints
    swapped and x negated, and the smaller of :math:`d` and ``mirror_factor`` times the distance of
    the image counts: many people do with the left hand what others do with the right. Classes that
    differ in the side alone stay apart as long as the factor is above 1. The channels of a joint
    must then be vectors of ``skeleton.dims`` coordinates, as
    :class:`~pyg_fsar.nn.MotionFeatures` makes them.

    A distance depends on the query and one class only. There are no weights, unless
    ``learn_scale``.

    Args:
        skeleton: Layout of the joints for mirror images, or its registered name; None compares
            without.
        profile: Weight :math:`w` of the profile.
        mirror_factor: Factor by which a mirror image is farther, at least 1.
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
        profile: float = 1.0,
        mirror_factor: float = 1.2,
        shots: str = "nearest",
        scale: float = 1.0,
        learn_scale: bool = False,
    ) -> None:
        super().__init__(scale, learn_scale)
        if shots not in SHOTS:
            raise ValueError(f"shots must be one of {', '.join(SHOTS)}, got '{shots}'")
        if profile < 0:
            raise ValueError(f"profile must be 0 or more, got {profile}")
        if mirror_factor < 1:
            raise ValueError(f"mirror_factor must be 1 or more, got {mirror_factor}")
        self.skeleton = None if skeleton is None else Skeleton.get(skeleton)
        self.profile = profile
        self.mirror_factor = mirror_factor
        self.shots = shots
        self.frames = Matcher(CosineCost(), DTW())

    def class_distances(self, support: EmbeddedClips, query: EmbeddedClips, n_way: int) -> Tensor:
        """Distances of queries to classes; see :class:`~pyg_fsar.matching.DistanceMatcher`."""
        references = self.references(support, n_way)
        distances = self._pairs(query, references)
        if self.skeleton is not None:
            image = self._pairs(query.with_x(self.mirrored(query.x)), references)
            distances = distances.minimum(self.mirror_factor * image)
        return SHOTS[self.shots].class_distances(distances, references, n_way)

    def references(self, support: EmbeddedClips, n_way: int) -> EmbeddedClips:
        """The embedded clips that queries are compared with.

        Args:
            support: Support clips with classes ``0..N-1`` as ``y``.
            n_way: Number of classes, ``N``.
        """
        return SHOTS[self.shots].references(support, n_way)

    def align(self, query: Tensor, reference: Tensor) -> Alignment:
        """Costs of one pair of clips and how the matcher aligns them: those of the query's mirror
        image if that is what counts.

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
        course = self.frames.align(query, reference)
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
        cost = self.frames.cost(query.x, other.x)
        course = self.frames.aligner(cost, lengths=lengths if ragged else None)
        course = course * 2 / (lengths[0] + lengths[1]).to(course)
        profiles = self.frames.cost(_profile(query), _profile(other))[..., 0, 0]
        return course + self.profile * profiles

    def extra_repr(self) -> str:
        """Options shown by ``print``."""
        skeleton = None if self.skeleton is None else self.skeleton.name
        return (
            f"skeleton={skeleton!r}, profile={self.profile}, mirror_factor={self.mirror_factor}, "
            f"shots={self.shots!r}, "
            f"scale={self.scale if self.log_scale is None else 'learned'}"
        )


def _profile(clips: EmbeddedClips) -> Tensor:
    """Square root of the root mean square over time, ``[B, 1, V, C]``."""
    x = clips.x if clips.x.dtype == torch.float64 else clips.x.float()
    real = torch.arange(x.size(1), device=x.device) < clips.full_lengths[:, None]
    x = x.masked_fill(~real[..., None, None], 0)
    power = x.square().sum(dim=1, keepdim=True) / clips.full_lengths[:, None, None, None]
    # The root has no derivative at zero; what does not move has none here.
    still = power <= torch.finfo(power.dtype).tiny
    return power.masked_fill(still, 1).pow(0.25).masked_fill(still, 0)
