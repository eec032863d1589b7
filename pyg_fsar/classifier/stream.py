"""Finding actions in a stream of frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyg_fsar.classifier.clips import Transform
from pyg_fsar.classifier.movement import Ladder, MovementProposals, Segment
from pyg_fsar.classifier.poses import Places, RunningPose, Window, frame_bodies
from pyg_fsar.data import EmbeddedClips, SkeletonSequence
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.matching import NearestSearch
from pyg_fsar.nn import MotionFeatures
from pyg_fsar.nn.evaluation_mode import evaluation_mode
from pyg_fsar.skeleton import Skeleton

__all__ = ["ActionStream", "Comparison", "Detection"]

SHORTEST = 6  # frames of an action
# Fraction of an action's length, and the least number of frames, for which a better segment that
# overlaps with it is waited for.
PATIENCE, LEAST_PATIENCE = 0.5, 8
# Of the distances of examples to other classes, see Comparison.thresholds.
STRICTNESS = 0.4
MOST_CALIBRATED = 200  # examples that are looked at for it
MOST_ABSENT = 30  # frames after which a person who comes back is another one
LEAST_LEFT = 0.7  # fraction of a proposed segment that must not have been reported before


class Detection(NamedTuple):
    """An action in a stream or recording.

    Args:
        start: Number of its first frame.
        end: Number of its last frame.
        label: Its label.
        probability: The label's probability, as of ``predict_proba`` for these frames.

    Example:
        >>> Detection(start=12, end=57, label="wave", probability=0.9).label
        'wave'
    """

    start: int
    end: int
    label: Any
    probability: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a stream needs of a fitted classifier.

    Args:
        model: The model.
        support: The embedded examples with their classes.
        labels: Label of each class.
        embed: Prepares and embeds clips.
        transform: Prepares clips, as ``embed`` does too.
        scale: Factor between distances and minus logits.
        search: The support with what of its distances is computed once, if the matcher has that.
    """

    model: FewShotModel
    support: EmbeddedClips
    labels: Sequence[Any]
    embed: Callable[[Sequence[SkeletonSequence]], EmbeddedClips]
    transform: Transform | None
    scale: float
    search: NearestSearch | None

    def logits(self, query: EmbeddedClips) -> Tensor:
        """Logits of embedded clips, ``[Q, N]``, in double precision on the CPU."""
        with evaluation_mode(self.model), torch.no_grad():
            if self.search is not None and self.search.serves(self.model.matcher):
                return -self.search.distances(query).cpu().double() * self.scale
            return self.model.match(self.support, query, len(self.labels)).cpu().double()

    def thresholds(self) -> tuple[float, np.ndarray]:
        """From where distances count, and how much farther each class is found, ``[N]``.

        The latter is a fraction of the median distance to the class of what is none of its
        actions: the examples of other classes, and all examples with their two halves exchanged.
        The former is 0, or the least distance of an example to its own class if that is negative,
        as those of soft-DTW are.
        """
        count = len(self.support)
        some = torch.linspace(0, count - 1, min(count, MOST_CALIBRATED)).long().unique()
        support = self.support[some.to(self.support.x.device)]
        classes: Any = support.y
        halves = [support.clip(n) for n in range(len(support))]
        halves = [clip.roll(len(clip) // 2, dims=0) for clip in halves]
        others = self._distances(support)
        own = torch.arange(len(support)), classes.cpu()
        zero = min(0.0, float(others[own].min()))
        others[own] = torch.nan
        exchanged = self._distances(EmbeddedClips.from_clips(halves))
        median = torch.cat([others, exchanged]).nanmedian(dim=0).values
        # Examples that equal their exchanged halves, as without any movement, leave nothing.
        least = torch.finfo(median.dtype).tiny
        return zero, (STRICTNESS * (median - zero)).clamp(min=least).numpy()

    def _distances(self, query: EmbeddedClips) -> Tensor:
        return -self.logits(query) / self.scale


class ActionStream:
    r"""Finds actions in frames that arrive one at a time, in constant memory.

    :meth:`FewShotClassifier.stream <pyg_fsar.FewShotClassifier.stream>` makes it. Every frame goes
    through three stages:

    1. The movement is aligned with that of all examples, with an open begin, and segments are
       proposed that may be an action (:class:`MovementProposals`). Where the encoder treats every
       frame on its own, and the transform too, its embeddings are aligned, which are computed once;
       with :class:`~pyg_fsar.nn.MotionFeatures`, poses. For other encoders segments of fixed
       lengths are proposed (:class:`Ladder`).
    2. Proposed segments are classified as whole clips. One counts if its distance to a class is
       below the class's threshold, see :meth:`Comparison.thresholds`.
    3. Of segments that overlap the one with the smallest distance, in units of its threshold, is
       reported, once for a time of half of its length no better one has come.

    Args:
        comparison: The fitted classifier.
        source: Layout of the frames.
        longest: The largest number of frames of an action.
        people: The most bodies that are looked at, which are compared as those of one clip.
        tolerance: Factor of all thresholds.

    Attributes:
        thresholds: The largest distance to each class at which it is found, ``[N]``.

    Raises:
        TypeError: If ``longest`` or ``people`` is no whole number.
        ValueError: If an option is out of range, the layout has not the joints, or the matcher
            cannot compare clips of different lengths.

    Example:
        >>> classifier = FewShotClassifier().fit(clips, ["a", "a", "b"])
        >>> stream = classifier.stream("ntu25")
        >>> for frame in queries[0].bodies.transpose(0, 1):
        ...     action = stream.push(frame)  # None while no action has ended
        >>> stream.frame == queries[0].num_frames
        True
    """

    def __init__(
        self,
        comparison: Comparison,
        source: Skeleton,
        longest: int = 600,
        people: int = 2,
        tolerance: float = 1.0,
    ) -> None:
        for name, value, least in (("longest", longest, SHORTEST), ("people", people, 1)):
            if not isinstance(value, int | np.integer):
                raise TypeError(f"{name} must be a whole number, got {value!r:.80}")
            if value < least:
                raise ValueError(f"{name} must be {least} or more, got {value}")
        if not 0 < tolerance < np.inf:  # nor NaN
            raise ValueError(f"tolerance must be positive and finite, got {tolerance}")
        longest, people = int(longest), int(people)
        self._comparison, self._source, self._longest = comparison, source, longest
        Skeleton.register(source)  # clips know theirs by its name
        self._zero, reach = comparison.thresholds()
        self._reach = tolerance * reach
        self.thresholds = self._zero + self._reach
        self._places = Places(people, MOST_ABSENT, source.dims)
        self._frames = Window(longest)
        self._embeddings = Window(longest) if _is_framewise(comparison, source) else None
        encoder = comparison.model.encoder
        self._pose = None
        if self._embeddings is None and isinstance(encoder, MotionFeatures):
            self._pose = RunningPose(encoder, source)
        self._proposals = self._proposer()
        self.reset()

    def _proposer(self) -> MovementProposals | Ladder:
        matcher: Any = self._comparison.model.matcher
        encoder, support = self._comparison.model.encoder, self._comparison.support
        classes: Any = support.y
        y = classes.cpu().numpy()
        if self._embeddings is None and self._pose is None:
            return Ladder(SHORTEST, self._longest)
        if self._embeddings is not None:
            _check_lengths(self._comparison)
            return MovementProposals(_trajectories(support), y, self._longest)
        assert isinstance(encoder, MotionFeatures)
        poses = support.with_x(encoder.positions(support.x))
        trajectories = _trajectories(poses)
        if getattr(matcher, "skeleton", None) is not None and hasattr(matcher, "mirrored"):
            # Proposals of either side; which count is the matcher's decision.
            trajectories += _trajectories(poses.with_x(matcher.mirrored(poses.x)))
            y = np.concatenate([y, y])
        return MovementProposals(trajectories, y, self._longest)

    def reset(self) -> None:
        """Forget everything seen; frames are counted from 0 again."""
        self._last_seen = -1
        self._free = 0  # the first frame that belongs to no action reported
        self._shape: tuple[int, ...] | None = None
        self._pending: list[tuple[float, Detection]] = []
        self._places.reset()
        self._frames.reset()
        self._proposals.reset()
        if self._embeddings is not None:
            self._embeddings.reset()
        if self._pose is not None:
            self._pose.reset()

    @property
    def frame(self) -> int:
        """Number of the next frame, which is how many were pushed."""
        return self._frames.count

    def push(self, frame: Any) -> Detection | None:
        """Take the next frame.

        Args:
            frame: All bodies, in any order, or one body; None if nobody was seen or the frame was
                lost. A joint that is zero or NaN is missing.

        Returns:
            An action that is now known to have ended, or None. It ended some frames ago.

        Shapes:
            - **frame:** ``[M, V, C]`` or ``[V, C]``

        Raises:
            ValueError: If the frame has other axes, joints or channels than the stream or the
                examples, or a coordinate is infinite.
            FloatingPointError: If an embedding is NaN.
        """
        number, bodies = self.frame, None
        if frame is not None:
            bodies = frame_bodies(frame, number, self._source)
            self._shape = self._shape or bodies.shape[1:]
            if bodies.shape[1:] != self._shape:
                raise ValueError(
                    f"frame {number} has {bodies.shape[-1]} channels, but those before had "
                    f"{self._shape[-1]}; give the same for every frame, or call reset()"
                )
            bodies = self._places.assign(bodies, number)
            bodies = bodies if bodies.any() else None
        self._frames.append(bodies)
        pose, there = self._describe(bodies)
        found = self._proposals.update(number, pose, there)
        if bodies is not None:
            self._last_seen = number
        elif number - self._last_seen == MOST_ABSENT:
            found += self._proposals.finish()
            self._proposals.reset()
        self._compare(found)
        return self._ripe(number)

    def finish(self) -> list[Detection]:
        """Actions that had not been reported at the end of the stream, which is then forgotten."""
        self._compare(self._proposals.finish())
        found = sorted(action for _, action in self._pending)
        self.reset()
        return found

    def _describe(self, bodies: np.ndarray | None) -> tuple[np.ndarray | None, np.ndarray | None]:
        """What the movement is told by: see :meth:`MovementProposals.update`."""
        if self._embeddings is not None:
            if bodies is None:  # the embedding of a frame without anybody is that of the last one
                last = self._embeddings.count - 1
                nothing = self._last_seen < 0
                self._embeddings.append(None if nothing else self._embeddings[last, last][0])
                return None, None
            vector = self._embedded_frame(bodies)
            self._embeddings.append(vector)
            pose = vector.reshape(1, -1)
            return pose, np.ones_like(pose, dtype=bool)
        if bodies is None or self._pose is None:
            return None, None
        return self._pose(bodies)

    def _embedded_frame(self, bodies: np.ndarray) -> np.ndarray:
        clip, model = _clip(bodies[:, None], self._source), self._comparison.model
        if self._comparison.transform is not None:
            clip = self._comparison.transform(clip)
        with evaluation_mode(model), torch.no_grad():
            vector: np.ndarray = model.embed(clip).x[0, 0].cpu().numpy()
        if vector.shape != (expected := self._comparison.support.x.shape[2:]):
            raise ValueError(
                f"frame {self.frame - 1} gives joints and channels {vector.shape}, but the "
                f"examples {tuple(expected)}; give frames like the examples"
            )
        if not np.isfinite(vector).all():
            raise FloatingPointError(
                f"the embedding of frame {self.frame - 1} is NaN or infinite; look for a weight of "
                "the model that is NaN, or extreme values in the frame"
            )
        return vector

    def _embedded(self, clips: Sequence[SkeletonSequence]) -> EmbeddedClips:
        with evaluation_mode(self._comparison.model), torch.no_grad():
            return self._comparison.embed(clips)

    def _compare(self, segments: Sequence[Segment]) -> None:
        """Classify segments, and remember those that are an action."""
        segments = [segment for segment in map(self._usable, dict.fromkeys(segments)) if segment]
        if not segments:
            return
        if self._embeddings is None:
            embedded = self._embedded(
                [_clip(self._frames[s].swapaxes(0, 1), self._source) for s in segments]
            )
        else:
            parts = [torch.from_numpy(self._embeddings[s].copy()) for s in segments]
            embedded = EmbeddedClips.from_clips(parts).to(self._comparison.support.x.device)
        logits = self._comparison.logits(embedded)
        distances = -logits.numpy() / self._comparison.scale
        for segment, row, far in zip(segments, logits, distances, strict=True):
            best = int(row.argmax())
            # Of Python's numbers, since the quotient may be infinite.
            share = (float(far[best]) - self._zero) / float(self._reach[best])
            if share < 1:
                label = self._comparison.labels[best]
                probability = float(row.softmax(dim=0)[best])
                self._remember(share, Detection(*segment, label, probability))

    def _usable(self, segment: Segment) -> Segment | None:
        """A segment less what was reported before, if enough of it is left."""
        start = max(segment.start, self._free)
        length = segment.end - start + 1
        too_short = length < max(SHORTEST, LEAST_LEFT * (segment.end - segment.start + 1))
        if too_short or start <= self._frames.count - 1 - self._longest:
            return None
        return Segment(start, segment.end) if self._frames[start, segment.end].any() else None

    def _remember(self, share: float, action: Detection) -> None:
        """Keep an action unless one that overlaps with it is nearer to its class."""
        rivals = [
            (other_share, other)
            for other_share, other in self._pending
            if other.start <= action.end and action.start <= other.end
        ]
        if all(share < other_share for other_share, _ in rivals):
            self._pending = [entry for entry in self._pending if entry not in rivals]
            self._pending.append((share, action))

    def _ripe(self, frame: int) -> Detection | None:
        """The first action for which nothing better can be expected, no longer remembered."""
        for entry in sorted(self._pending, key=lambda entry: entry[1]):
            action = entry[1]
            length = action.end - action.start + 1
            if frame - action.end >= max(PATIENCE * length, LEAST_PATIENCE):
                self._pending.remove(entry)
                self._free = action.end + 1
                self._proposals.forget(self._free)
                return action
        return None


def _clip(bodies: np.ndarray, layout: Skeleton) -> SkeletonSequence:
    """Bodies ``[M, T, V, C]`` that are there in half of the frames or more, or as the most are.

    Without the checks of clips, since every frame was checked by :func:`frame_bodies`.
    """
    seen = bodies.any(axis=(2, 3)).sum(axis=1)
    bodies = bodies[seen >= min(bodies.shape[1] / 2, seen.max())]
    x = torch.from_numpy(bodies).to(torch.get_default_dtype()).flatten(0, 1)
    return SkeletonSequence(x, len(bodies), skeleton=layout.name)


def _trajectories(clips: EmbeddedClips) -> list[np.ndarray]:
    """Embedded clips as sequences of vectors, ``[T, D]`` each."""
    return [clips.clip(n).flatten(1).cpu().numpy() for n in range(len(clips))]


def _is_framewise(comparison: Comparison, source: Skeleton) -> bool:
    """Whether a frame's embedding is the same within any clip, as a trial tells."""
    encoder = comparison.model.encoder
    if getattr(encoder, "mixes_frames", not isinstance(encoder, torch.nn.Identity)):
        return False
    if comparison.transform is None:
        return True
    bodies = np.random.default_rng(0).normal(size=(1, 4, source.num_joints, source.dims))
    bodies[:, 1, source.center - 1] = 0  # missing, which a transform may fill from other frames
    clip = SkeletonSequence.from_bodies(bodies, skeleton=source)
    try:
        whole = comparison.transform(clip).bodies
        frames = [comparison.transform(clip.with_bodies(clip.bodies[:, [n]])) for n in range(4)]
    except (ValueError, RuntimeError):
        return False
    each = [frame.bodies for frame in frames]
    return whole.shape[1] == 4 and all(
        part.shape[1] == 1 and torch.allclose(part[:, 0], whole[:, n], atol=1e-5)
        for n, part in enumerate(each)
    )


def _check_lengths(comparison: Comparison) -> None:
    """Refuse a matcher that cannot compare segments of any length with the examples."""
    clip = comparison.support.clip(0)
    try:
        comparison.logits(EmbeddedClips(torch.cat([clip, clip[:1]])[None]))
    except ValueError as error:
        raise ValueError(
            f"the matcher cannot compare parts of a stream, which differ in length ({error}); use "
            "one that aligns in time, such as build_matcher('dtw'), or a transform that resamples"
        ) from error
