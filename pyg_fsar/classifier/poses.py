"""What a stream knows of each frame: people in their places, and poses that do not depend on later
frames.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.transforms import Compose

from pyg_fsar.data import MAX_COORDINATE, PeopleTracker, SkeletonSequence, as_numbers
from pyg_fsar.nn import MotionFeatures
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.transforms import AddDepth, MapJoints
from pyg_fsar.transforms.utils import present, torso

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
    layout.check_joints(bodies.shape[1], label)
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
        self._number = [-1] * self._people
        self._seen = [-1] * self._people

    def assign(self, bodies: np.ndarray, frame: int) -> np.ndarray:
        """Bodies at their places; a place without anybody is zero.

        Shapes:
            - **bodies:** ``[M, V, C]``
            - **output:** ``[people, V, C]``
        """
        placed = np.zeros((self._people, *bodies.shape[1:]), dtype=np.float32)
        bodies = bodies[bodies.any(axis=(1, 2))]
        for place in range(self._people):
            if self._number[place] >= 0 and frame - self._seen[place] > self._memory:
                self._number[place] = -1
        known = [place for place, number in enumerate(self._number) if number >= 0]
        alone = len(bodies) == 1 and len(known) <= 1
        if not len(bodies):
            return placed
        numbers = self._tracker.update(bodies[..., : self._dims].astype(np.float64), frame)
        if alone:  # one person remains the same, however far they jump
            place = known[0] if known else 0
            self._number[place], self._seen[place] = numbers[0], frame
            placed[place] = bodies[0]
            return placed
        for body, number in zip(bodies, numbers, strict=True):
            if number not in self._number:
                if -1 not in self._number:
                    continue
                self._number[self._number.index(-1)] = number
            place = self._number.index(number)
            self._seen[place], placed[place] = frame, body
        return placed


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
        self._encoder, self._source = encoder, source
        self._steps = Compose([MapJoints(encoder.skeleton), AddDepth()])
        names = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
        self._has_torso = set(names) <= set(encoder.skeleton.joints)
        self.reset()

    def reset(self) -> None:
        """Forget the stream."""
        self._mean: Tensor | None = None
        self._count = 0

    def __call__(self, bodies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Poses of a frame's bodies, and which of their coordinates are known.

        Shapes:
            - **bodies:** ``[M, V, C]``
            - **output:** ``[M, D]``, bool ``[M, D]``
        """
        clip = SkeletonSequence.from_bodies(bodies[:, None], skeleton=self._source)
        clip = self._steps(clip)
        joints, there = clip.bodies[:, 0], present(clip)[:, 0]
        center = self._encoder.skeleton.center
        # A joint has no place without the central one, unless the layout lacks that.
        there = there & (there[:, [center]] | ~there[:, center].any())
        poses = self._encoder.relative(joints)
        if self._has_torso:
            poses = self._turned(poses, *torso(clip))
        there = there.unsqueeze(-1).expand_as(poses)
        return poses.flatten(1).numpy(), there.flatten(1).numpy()

    def _turned(self, poses: Tensor, shoulders: Tensor, spine: Tensor, mask: Tensor) -> Tensor:
        if bool(mask.any()):
            lines = torch.stack([shoulders[mask].mean(dim=0), spine[mask].mean(dim=0)])
            self._count = min(self._count + 1, MEMORY)
            old = lines if self._mean is None else self._mean
            self._mean = old.lerp(lines, 1 / self._count)
        if self._mean is None:
            return poses
        across, up = self._mean
        backwards = torch.linalg.cross(across, up)
        length, size = up.norm(), across.norm().maximum(up.norm())
        if float(length) > 0:
            poses = poses / length
        if float(backwards.norm()) <= 1e-3 * float(size.square()):
            return poses
        x, z = across / across.norm(), backwards / backwards.norm()
        return poses @ torch.stack([x, torch.linalg.cross(z, x), z], dim=1)
