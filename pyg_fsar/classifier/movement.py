"""Where in a stream an action may have been, by the course of its movement."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pyg_fsar.matching import SubsequenceAligner

__all__ = ["Ladder", "MovementProposals", "Segment"]

# Chosen, as the other constants here, on training classes of real data and generated movements.
STEPS = 20  # steps between key poses in an example of median length
FEWEST_STEPS = 5  # and in the example that moves least
LOOSE = 0.6  # alignments beyond this distance are not proposed
PENALTY = 0.5  # of an alignment for a step without a counterpart
RISE = 0.03  # by so much a distance must rise for its minimum to count
HOLD = 6  # or so many frames must pass
RATIO = 1.4  # of a length of the ladder to the one before
MOST_STEPS = 10  # between two frames
LEAST_MOVED, MOST_MOVED = 0.65, 1.6  # movement of an action, in that of the example
OVERLAP = 4  # frames of the ladder begin at a quarter of their length


class Segment(NamedTuple):
    """Frames of a stream, both ends included."""

    start: int
    end: int


class MovementProposals:
    r"""Aligns the movement of a stream with that of all examples, and proposes segments.

    A pose is a *key pose* if it is farther from the last one than a threshold. Between key poses
    only the direction of the change counts. So neither pauses, nor speed, nor frame rate, nor
    posture or place have an effect, and jitter below the threshold has none. Examples are reduced
    in the same way, and :class:`~pyg_fsar.matching.SubsequenceAligner` aligns the steps.

    A segment is proposed for a class when the distance to its nearest example has passed a minimum.

    Args:
        trajectories: The poses of each example.
        y: Class of each example, ``0..N-1``.
        longest: The largest number of frames of a segment.

    Shapes:
        - **trajectories:** ``[T, D]`` each
        - **y:** ``[R]``
    """

    def __init__(self, trajectories: Sequence[np.ndarray], y: np.ndarray, longest: int) -> None:
        paths = [np.linalg.norm(np.diff(poses, axis=0), axis=1).sum() for poses in trajectories]
        moving = [length for length in paths if length > 0]
        usual = float(np.median(moving)) / STEPS if moving else np.inf
        # Not as small as the jitter of an example that hardly moves.
        self.step = min(usual, max(min(moving, default=np.inf) / FEWEST_STEPS, usual / 4))
        steps = [_steps(poses, self.step) for poses in trajectories]
        y = y[[len(step) > 0 for step in steps]]
        steps = [step for step in steps if len(step)]
        self._aligner = SubsequenceAligner(steps, PENALTY) if steps else None
        self._begins: deque[int] = deque(maxlen=longest)  # frames in which the last steps began
        # Places of the examples of each class, filled up with one that is infinitely far.
        groups = [np.flatnonzero(y == label) for label in np.unique(y)]
        self._groups = np.full((len(groups), max(map(len, groups), default=1)), len(steps))
        for row, group in zip(self._groups, groups, strict=True):
            row[: len(group)] = group
        self._armed = np.empty(len(groups))  # the least distance so far
        self._span = np.empty((len(groups), 2), dtype=np.int64)
        self._fired = np.empty(len(groups))  # that of the last proposal from the same begin
        self._fired_start = np.empty(len(groups), dtype=np.int64)
        self.reset()

    def reset(self) -> None:
        """Forget the stream."""
        self._begins.clear()
        self._key: np.ndarray | None = None
        self._known: np.ndarray | None = None
        self._quiet = 0
        self._armed.fill(np.inf)
        self._fired.fill(np.inf)
        self._fired_start.fill(-1)
        self._risen = np.zeros(len(self._groups), dtype=bool)
        if self._aligner is not None:
            self._aligner.reset()

    def forget(self, frame: int) -> None:
        """Propose nothing that began before a frame."""
        if self._aligner is not None:
            old = sum(begin < frame for begin in self._begins)
            self._aligner.forget(self._aligner.column - len(self._begins) + old)
        self._armed[self._span[:, 0] < frame] = np.inf

    def update(
        self, frame: int, pose: np.ndarray | None, there: np.ndarray | None
    ) -> list[Segment]:
        """Take the next frame, and propose segments that ended not long ago.

        Args:
            frame: Its number.
            pose: Poses of all bodies; None if there is nobody.
            there: Which of their coordinates are known.

        Shapes:
            - **pose, there:** ``[M, D]``
        """
        if self._aligner is None:
            return []
        moved = None if pose is None or there is None else self._moved(frame, pose, there)
        if moved is not None:
            size = float(np.linalg.norm(moved))
            # A fast movement passes several key poses between two frames.
            for _ in range(min(max(round(size / self.step), 1), MOST_STEPS)):
                self._begins.append(self._quiet)
                distance, start = self._aligner.step(moved / size)
            self._quiet = frame
            part = (self._aligner.column - start) / self._aligner.lengths
            possible = (part >= LEAST_MOVED) & (part <= MOST_MOVED)
            start -= self._aligner.column - len(self._begins)
            possible &= start >= 0
            self._arm(frame, np.where(possible, distance, np.inf), np.where(possible, start, 0))
        return self._fire(frame)

    def finish(self) -> list[Segment]:
        """Propose what has not been proposed yet, at the end of the stream."""
        found = [Segment(*map(int, span)) for span in self._span[self._armed < LOOSE]]
        self._armed.fill(np.inf)
        return found

    def _moved(self, frame: int, pose: np.ndarray, there: np.ndarray) -> np.ndarray | None:
        """Movement from the last key pose to this one, if it is one."""
        if self._key is None or self._known is None:
            self._key, self._known, self._quiet = pose.copy(), there.copy(), frame
            self._still, self._shifted = pose.copy(), frame
            return None
        away = np.where(there & self._known, pose - self._still, 0)
        if float(np.linalg.norm(away)) > self.step / 2:
            if frame - self._shifted > HOLD:  # a pause ends, be it near the last key pose or not
                self._quiet = frame - 1
            self._still, self._shifted = np.where(there, pose, self._still), frame
        steps = np.where(there & self._known, pose - self._key, 0)
        sizes = np.linalg.norm(steps, axis=1)
        # The mean over those who move: an onlooker makes nobody's movement smaller.
        movers = max(int((sizes > sizes.max() / 2).sum()), 1)
        moved: np.ndarray = steps.sum(axis=0) / movers
        # What is seen for the first time has not moved.
        self._key = np.where(there & ~self._known, pose, self._key)
        self._known = self._known | there
        size = float(np.linalg.norm(moved))
        if size <= self.step:
            self._quiet = frame if size <= self.step / 2 else self._quiet
            return None
        self._key = np.where(there, pose, self._key)
        return moved

    def _arm(self, frame: int, distance: np.ndarray, place: np.ndarray) -> None:
        """Remember the least distance of each class, and the frames of its path.

        Args:
            frame: Number of the frame.
            distance: Of the examples.
            place: Among the last steps, that with which each path began.
        """
        nearest = np.append(distance, np.inf)[self._groups].argmin(axis=1)
        best = self._groups[np.arange(len(nearest)), nearest]
        value = distance[best]
        begin = np.array(self._begins)[place[best]]
        known = (begin == self._fired_start) & (value >= self._fired)
        better = (value < LOOSE) & (value <= self._armed) & ~known
        self._armed[better] = value[better]
        self._span[better] = np.stack([begin[better], np.full(better.sum(), frame)], axis=1)
        self._risen = value > self._armed + RISE

    def _fire(self, frame: int) -> list[Segment]:
        """The segments of classes whose distance has passed its minimum."""
        armed = self._armed < LOOSE
        if not armed.any():
            return []
        passed = armed & (self._risen | (frame - self._span[:, 1] >= HOLD))
        self._fired[passed], self._armed[passed] = self._armed[passed], np.inf
        self._fired_start[passed] = self._span[passed, 0]
        return [Segment(*map(int, span)) for span in self._span[passed]]


class Ladder:
    """Proposes segments of fixed lengths, for encoders whose embeddings tell nothing of movement.

    Args:
        shortest: The least number of frames.
        longest: The largest number of frames.
    """

    def __init__(self, shortest: int, longest: int) -> None:
        count = int(np.log(longest / shortest) / np.log(RATIO)) + 1
        self._lengths = sorted({int(shortest * RATIO**n) for n in range(count)} | {longest})
        self._first: int | None = None

    def reset(self) -> None:
        """Forget the stream."""
        self._first = None

    def forget(self, frame: int) -> None:
        """Propose nothing that began before a frame."""
        self._first = frame

    def update(
        self, frame: int, pose: np.ndarray | None, there: np.ndarray | None
    ) -> list[Segment]:
        """Segments that end with this frame; see :meth:`MovementProposals.update`."""
        if self._first is None:
            self._first = frame
        return [
            Segment(frame - length + 1, frame)
            for length in self._lengths
            if frame - length + 1 >= self._first and (frame + 1) % max(length // OVERLAP, 1) == 0
        ]

    def finish(self) -> list[Segment]:
        """Nothing is waiting."""
        return []


def _steps(poses: np.ndarray, size: float) -> np.ndarray:
    """Directions between the key poses of an example, ``[n, D]``."""
    # Between the frames of an example much may happen.
    fine = np.linspace(0, len(poses) - 1, 6 * len(poses))
    before = np.floor(fine).astype(int)
    after = np.minimum(before + 1, len(poses) - 1)
    poses = poses[before] + (fine - before)[:, None] * (poses[after] - poses[before])
    key, steps = poses[0], []
    for pose in poses[1:]:
        moved = pose - key
        if (length := float(np.linalg.norm(moved))) > size:
            steps.append(moved / length)
            key = pose
    return np.array(steps).reshape(-1, poses.shape[1])
