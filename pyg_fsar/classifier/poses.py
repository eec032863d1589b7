"""What a stream knows of each frame: people in their places, and poses that do not depend on later
frames.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_fsar.data import MAX_COORDINATE, PeopleTracker, SkeletonSequence, as_numbers
from pyg_fsar.joint_names import joint_sources
from pyg_fsar.nn import MotionFeatures
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.transforms import MapJoints

__all__ = ["Places", "RunningPose", "Window", "frame_bodies"]

# Frames over which facing direction and torso length are averaged.
MEMORY = 60


def frame_bodies(frame: Any, number: int, layout: Skeleton) -> np.ndarray:
    """Bodies of a frame, in which joints that are NaN are missing, hence zero.

    Shapes:
        - **frame:** ``[M, V, C]`` or ``[V, C]``
        - **output:** ``[M, V, C]``

    Raises:
        ValueError: If the frame has other axes or joints, or a coordinate is infinite or larger
            than :data:`~pyg_fsar.data.MAX_COORDINATE`.
    """
    label = f"frame {number}"
    numbers = as_numbers(frame, label)
    bodies = np.asarray(numbers.detach().cpu() if isinstance(numbers, Tensor) else numbers)
    bodies = bodies[None] if bodies.ndim == 2 else bodies
    if bodies.ndim != 3 or bodies.shape[-1] < layout.dims:
        raise ValueError(
            f"{label} has shape {np.shape(frame)}; give bodies [M, V, C] or one body [V, C], "
            f"with {layout.dims} coordinates or more for '{layout.name}'"
        )
    if bodies.shape[1] != layout.num_joints:
        raise ValueError(
            f"{label} has {bodies.shape[1]} joints, but skeleton '{layout.name}' has "
            f"{layout.num_joints}; name the layout of the frames, stream(skeleton=...)"
        )
    bodies = bodies.astype(np.float32)
    bodies = np.where(np.isnan(bodies).any(axis=-1, keepdims=True), 0, bodies)
    if np.abs(bodies).max(initial=0) > MAX_COORDINATE:
        raise ValueError(
            f"{label} has a coordinate that is infinite or beyond {MAX_COORDINATE:g}; correct it, "
            "or scale the frames to metres or pixels"
        )
    return bodies


class Places:
    """Gives every person of a stream a place of their own, which they get back after a gap.

    Args:
        people: Number of places; who comes when all are taken is left out until one is free.
        memory: Frames for which the place of a person who has left is kept.
        dims: Number of coordinates.
    """

    def __init__(self, people: int, memory: int, dims: int) -> None:
        self._people, self._memory, self._dims = people, memory, dims
        self.reset()

    def reset(self) -> None:
        """Forget everybody."""
        self._tracker = PeopleTracker(self._memory)
        self._number = [-1] * self._people  # the tracker's, of who is at each place
        self._seen = [-1] * self._people
        self._alone: tuple[np.ndarray, int] | None = None  # who the tracker was not told of

    def assign(self, bodies: np.ndarray, frame: int) -> np.ndarray:
        """Bodies at their places; a place without anybody is zero.

        Shapes:
            - **bodies:** ``[M, V, C]``
            - **output:** ``[people, V, C]``
        """
        placed = np.zeros((self._people, *bodies.shape[1:]), dtype=np.float32)
        bodies = bodies[bodies.any(axis=(1, 2))]
        if not len(bodies):
            return placed
        for place, seen in enumerate(self._seen):
            if seen >= 0 and frame - seen > self._memory:
                self._number[place] = self._seen[place] = -1
        known = [place for place, seen in enumerate(self._seen) if seen >= 0]
        if len(bodies) == 1 and len(known) <= 1:
            # One person remains the same, however far they jump, and needs no tracking.
            place = known[0] if known else 0
            self._seen[place], placed[place], self._alone = frame, bodies[0], (bodies, frame)
            return placed
        if self._alone is not None and known:
            self._number[known[0]] = self._track(*self._alone)[0]
        self._alone = None
        for body, number in zip(bodies, self._track(bodies, frame), strict=True):
            if number not in self._number:
                if -1 not in self._number:
                    continue
                self._number[self._number.index(-1)] = number
            place = self._number.index(number)
            self._seen[place], placed[place] = frame, body
        return placed

    def _track(self, bodies: np.ndarray, frame: int) -> list[int]:
        return self._tracker.update(bodies[..., : self._dims].astype(np.float64), frame)


class Window:
    """The last frames of a stream, in constant memory.

    Args:
        size: Number of frames that are kept at least.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.reset()

    def reset(self) -> None:
        """Forget the stream; frames are counted from 0 again."""
        self.count = 0
        self._next = 0
        self._frames: np.ndarray | None = None

    def append(self, frame: np.ndarray | None) -> None:
        """Add a frame, an array that always has the same shape; None is a frame of zeros."""
        self.count += 1
        if self._frames is None:
            if frame is None:
                return
            self._frames = np.zeros((2 * self.size, *frame.shape), dtype=frame.dtype)
            self._next = min(self.count - 1, self.size)
        if self._next == len(self._frames):  # so that any span of frames is one view
            self._frames[: self.size] = self._frames[self.size :]
            self._next = self.size
        self._frames[self._next] = 0 if frame is None else frame
        self._next += 1

    def __getitem__(self, span: tuple[int, int]) -> np.ndarray:
        """Frames from the first to the last of a span of frame numbers, both included."""
        assert self._frames is not None  # there is no span of no frames
        first, last = span
        offset = self._next - self.count
        return self._frames[first + offset : last + offset + 1]


class RunningPose:
    """Poses as :class:`~pyg_fsar.nn.MotionFeatures` sees them, one frame at a time.

    Joints are relative to the central one, turned to face the camera and scaled by the torso.
    Direction and torso length are running means, where clips have those of their own frames.

    Args:
        encoder: The encoder.
        source: Layout of the frames.
    """

    def __init__(self, encoder: MotionFeatures, source: Skeleton) -> None:
        self._encoder, layout = encoder, encoder.skeleton
        # Refuses, in words, a layout whose joints are unknown.
        nobody = torch.zeros(1, 1, source.num_joints, source.dims)
        MapJoints(layout)(SkeletonSequence.from_bodies(nobody, skeleton=source))
        plan = joint_sources(source, layout, {})
        self._ends = np.array([ends or (0, 0) for ends in plan]).T
        self._had = np.array([ends is not None for ends in plan])
        self._dims = min(source.dims, layout.dims)
        names = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
        self._torso = [layout.joints.index(name) for name in names if name in layout.joints]
        self.reset()

    def reset(self) -> None:
        """Forget the stream."""
        self._lines: np.ndarray | None = None
        self._count = 0
        self._centred = False

    def __call__(self, bodies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Poses of a frame's bodies, and which of their coordinates are known.

        Shapes:
            - **bodies:** ``[M, V, C]``
            - **output:** ``[M, D]``, bool ``[M, D]``
        """
        # The arithmetic of MapJoints and AddDepth, since making clips of frames takes milliseconds.
        first, second = self._ends
        seen = np.any(bodies, axis=-1)
        there = seen[:, first] & seen[:, second] & self._had
        joints = np.zeros((*there.shape, self._encoder.skeleton.dims), dtype=np.float32)
        ends = bodies[:, first, : self._dims] + bodies[:, second, : self._dims]
        joints[..., : self._dims] = np.where(there[..., None], ends / 2, 0)
        center = self._encoder.skeleton.center
        # A joint has no place without the central one, unless the stream has never had that.
        self._centred |= bool(there[:, center].any())
        known = there & there[:, [center]] if self._centred else there
        poses = self._encoder.relative(torch.from_numpy(joints)).numpy()
        if len(self._torso) == 4:
            whole = there[:, self._torso].all(axis=1)
            poses = poses @ self._facing(joints[whole][:, self._torso])
        known = np.broadcast_to(known[..., None], poses.shape)
        return poses.reshape(len(poses), -1), known.reshape(len(poses), -1)

    def _facing(self, corners: np.ndarray) -> np.ndarray:
        """What turns and scales joints, by the running means, ``[D, D]``.

        Shapes:
            - **corners:** shoulders and hips of bodies that have all, ``[M, 4, D]``
        """
        if len(corners):
            left, right, left_hip, right_hip = corners.mean(axis=0)
            lines = np.stack([right - left, (left + right - left_hip - right_hip) / 2])
            self._count = min(self._count + 1, MEMORY)
            old = lines if self._lines is None else self._lines
            self._lines = old + (lines - old) / self._count
        same = np.eye(self._encoder.skeleton.dims, dtype=np.float32)
        if self._lines is None:
            return same
        across, up = self._lines
        length = float(np.linalg.norm(up)) or 1.0
        if len(across) != 3:
            return same / length
        backwards = np.cross(across, up)
        width, depth = float(np.linalg.norm(across)), float(np.linalg.norm(backwards))
        if depth <= 1e-3 * max(width, length) ** 2:
            return same / length
        x, z = across / width, backwards / depth
        return np.stack([x, np.cross(z, x), z], axis=1) / length
