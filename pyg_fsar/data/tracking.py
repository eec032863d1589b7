"""Following people from frame to frame, for files that do not tell who is who."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["PeopleTracker", "order_by_motion", "track_people"]

MAX_PEOPLE = 200  # in one frame; more are no people who act
OLD = 0.5  # share of a track's former velocity and size in the next one
FORBIDDEN = 1e6  # the cost of taking two people for one


def track_people(
    joints: np.ndarray,
    frame: np.ndarray,
    max_gap: int = 30,
    max_distance: float = 0.6,
    min_frames: int = 5,
) -> np.ndarray:
    r"""Tell which skeletons are of the same person, by where they are.

    From frame to frame people are matched with those seen before so that the sum of distances
    between poses is smallest. The distance is the mean over the joints that both have, in units of
    the body's size (the diagonal of the box around it), and is measured from where the person
    would be by now at the last velocity, so people keep their identity when they cross. Whoever
    comes back after a gap is the same person if not too far away.

    People seen in very few frames are mostly furniture or reflections, and are left out. If then
    no frame has two people, all skeletons are of one person, however far they jump.

    Args:
        joints: Skeletons; a joint that is all zero is missing.
        frame: Number of the frame of each.
        max_gap: The most frames from one sight of a person to the next.
        max_distance: The farthest, in body sizes, that a person gets from where they are expected
            in the next frame. It grows with the square root of the number of frames, up to double.
        min_frames: A person seen in fewer frames, and in less than a tenth of all in which somebody
            is seen, is left out, unless nobody is seen in more.

    Shapes:
        - **joints:** ``[D, V, C]``, the channels being coordinates
        - **frame:** ``[D]``
        - **output:** int64 ``[D]``, numbers from 0 by first appearance; -1 for who is left out

    Raises:
        ValueError: If a frame has more people than can be followed, or ``max_gap`` or
            ``max_distance`` is not positive and finite.
    """
    tracker = PeopleTracker(max_gap, max_distance)
    frame = np.asarray(frame)
    order = np.argsort(frame, kind="stable")
    numbers, starts, counts = np.unique(frame[order], return_index=True, return_counts=True)
    if counts.max(initial=0) > MAX_PEOPLE:
        raise ValueError(
            f"frame {numbers[counts.argmax()]} has {counts.max()} people; at most {MAX_PEOPLE} can "
            "be followed"
        )
    person = np.full(len(frame), -1, dtype=np.int64)
    if counts.max(initial=0) <= 1:
        return np.zeros_like(person)
    for number, group in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True):
        person[group] = tracker.update(np.asarray(joints[group], dtype=np.float64), number)
    return _without_ghosts(person, frame, min_frames)


class PeopleTracker:
    """Follows people one frame at a time; see :func:`track_people` for how, and for the arguments.

    Args:
        max_gap: The most frames from one sight of a person to the next.
        max_distance: The farthest that a person gets from where they are expected.

    Raises:
        ValueError: If one of them is not positive and finite.

    Example:
        >>> one, other = np.ones((2, 17, 3)) * [[[0.0, 1.0, 2.0]], [[5.0, 1.0, 2.0]]]
        >>> tracker = PeopleTracker()
        >>> tracker.update(np.stack([one, other]), 0), tracker.update(np.stack([other, one]), 1)
        ([0, 1], [1, 0])
    """

    def __init__(self, max_gap: int = 30, max_distance: float = 0.6) -> None:
        for name, value in (("max_gap", max_gap), ("max_distance", max_distance)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value}")
        self.max_gap, self.max_distance = max_gap, max_distance
        self._active: list[_Track] = []
        self._num_people = 0

    def update(self, poses: np.ndarray, frame: int) -> list[int]:
        """Numbers of the people in the next frame, counted from 0 by first appearance.

        Args:
            poses: Skeletons; a joint that is all zero is missing.
            frame: Number of the frame, larger than that of the last call.

        Shapes:
            - **poses:** ``[P, V, C]``, the channels being coordinates
        """
        # Imported where people are followed: it takes longer than reading most files.
        from scipy.optimize import linear_sum_assignment

        seen = np.any(poses, axis=-1)
        self._active = [track for track in self._active if frame - track.frame <= self.max_gap]
        cost = _costs(self._active, poses, seen, frame, self.max_distance)
        rows, columns = linear_sum_assignment(cost)
        taken = cost[rows, columns] < FORBIDDEN
        matched = dict(zip(columns[taken].tolist(), rows[taken].tolist(), strict=True))
        before, numbers = list(self._active), []
        for place in range(len(poses)):
            if place in matched:
                track = before[matched[place]]
                track.update(poses[place], seen[place], frame)
            else:
                track = _Track(self._num_people, poses[place], seen[place], frame)
                self._num_people += 1
                self._active.append(track)
            numbers.append(track.number)
        return numbers


class _Track:
    """What is known of one person: where each joint was last seen, and how fast they move."""

    def __init__(self, number: int, pose: np.ndarray, seen: np.ndarray, frame: int) -> None:
        self.number, self.pose, self.seen, self.frame = number, pose, seen, frame
        self.velocity = np.zeros(pose.shape[-1])
        self.size = _size(pose, seen)

    def update(self, pose: np.ndarray, seen: np.ndarray, frame: int) -> None:
        both = self.seen & seen
        if both.any():
            moved = (pose[both] - self.pose[both]).mean(axis=0) / (frame - self.frame)
            self.velocity = OLD * self.velocity + (1 - OLD) * moved
        # A joint that is hidden now moves on with the body.
        moved_on = self.pose + self.velocity * (frame - self.frame)
        self.pose = np.where(seen[:, None], pose, moved_on)
        self.seen = self.seen | seen
        self.size = OLD * self.size + (1 - OLD) * _size(pose, seen)
        self.frame = frame


def _size(pose: np.ndarray, seen: np.ndarray) -> float:
    return float(np.linalg.norm(np.ptp(pose[seen], axis=0))) if seen.any() else 0.0


def _costs(
    tracks: list[_Track], poses: np.ndarray, seen: np.ndarray, frame: int, max_distance: float
) -> np.ndarray:
    """Distances of poses ``[P, V, C]`` from where tracks would be by now, ``[tracks, P]``."""
    costs = np.full((len(tracks), len(poses)), FORBIDDEN)
    sizes = np.array([_size(pose, there) for pose, there in zip(poses, seen, strict=True)])
    for row, track in enumerate(tracks):
        gap = frame - track.frame
        expected = track.pose + track.velocity * gap
        both = seen & track.seen
        gaps = np.linalg.norm(poses - expected, axis=-1)
        distance = (gaps * both).sum(axis=1) / np.maximum(both.sum(axis=1), 1)
        if not both.any(axis=1).all():  # no joint in common: compare the bodies' middles
            middle = _middles(poses, seen) - _middles(expected[None], track.seen[None])
            distance = np.where(both.any(axis=1), distance, np.linalg.norm(middle, axis=-1))
        distance /= np.maximum(np.maximum(sizes, track.size), 1e-9)
        near = distance <= max_distance * min(np.sqrt(gap), 2)
        costs[row, near] = distance[near]
    return costs


def _middles(poses: np.ndarray, seen: np.ndarray) -> np.ndarray:
    total = (poses * seen[..., None]).sum(axis=1)
    middles: np.ndarray = total / np.maximum(seen.sum(axis=1), 1)[:, None]
    return middles


def _without_ghosts(person: np.ndarray, frame: np.ndarray, min_frames: int) -> np.ndarray:
    lengths = np.bincount(person)
    keep = lengths >= min(min_frames, len(np.unique(frame)) / 10, lengths.max())
    person = np.where(keep[person], person, -1)
    kept = person >= 0
    if len(np.unique(frame[kept])) == kept.sum():
        return np.where(kept, 0, -1)
    renumbered = np.cumsum(keep) - 1
    return np.where(kept, renumbered[person], -1)


def order_by_motion(joints: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Numbers of the people, those that move most first.

    Motion is the squared distance from the mean place of a joint, summed over joints and frames in
    which the joint is there.

    Args:
        joints: Skeletons; a joint that is all zero is missing.
        person: Number of the person that each is of.

    Shapes:
        - **joints:** ``[D, V, C]``, the channels being coordinates
        - **person:** ``[D]``
        - **output:** ``[number of people]``
    """
    numbers = np.unique(person)
    motion = []
    for number in numbers:
        poses = np.asarray(joints[person == number], dtype=np.float64)
        seen = poses.any(axis=-1, keepdims=True)
        mean = poses.sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
        motion.append(float((np.square(poses - mean) * seen).sum()))
    return numbers[np.argsort([-value for value in motion], kind="stable")]
