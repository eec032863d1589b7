"""``.pose``: the binary files of pose-format, as of MediaPipe Holistic and OpenPose."""

from __future__ import annotations

import math
import struct

import numpy as np

from pyg_fsar.formats.base import Format, Recording
from pyg_fsar.formats.pictures import from_camera, from_pixels
from pyg_fsar.formats.source import Source

__all__ = ["POSE"]

# Versions 0.1 and 0.2 as little endian float32.
VERSIONS = {b"\xcd\xcc\xcc\x3d": "<HHH", b"\xcd\xcc\x4c\x3e": "<fIH"}
# Parts that are read, by name: components that hold them, best first, and their layout.
PARTS = {
    "pose": {
        "POSE_WORLD_LANDMARKS": "mediapipe33",
        "POSE_LANDMARKS": "mediapipe33",
        "pose_keypoints_2d": "openpose25",
    },
    "left_hand": {"LEFT_HAND_LANDMARKS": "hand21", "hand_left_keypoints_2d": "hand21"},
    "right_hand": {"RIGHT_HAND_LANDMARKS": "hand21", "hand_right_keypoints_2d": "hand21"},
}


class Reader:
    """Values of a binary file, one after the other."""

    def __init__(self, raw: bytes) -> None:
        self.raw, self.place = raw, 4

    def values(self, layout: str) -> tuple[float, ...]:
        found = struct.unpack_from(layout, self.raw, self.place)
        self.place += struct.calcsize(layout)
        return found

    def text(self) -> str:
        (length,) = self.values("<H")
        self.place += int(length)
        return self.raw[self.place - int(length) : self.place].decode()


def matches(source: Source) -> bool:
    """A file that starts with one of the versions of the format."""
    return source.head[:4] in VERSIONS


def read(source: Source, *, part: str = "pose") -> Recording:
    """Read one part of the people of a video.

    Args:
        source: The file.
        part: ``"pose"``, ``"left_hand"`` or ``"right_hand"``.
    """
    if part not in PARTS:
        raise ValueError(f"unknown part '{part}'; known are {', '.join(PARTS)}")
    raw = source.raw
    if raw[:4] not in VERSIONS:
        raise ValueError("it is of an unknown version; 0.1 and 0.2 are known")
    reader = Reader(raw)
    try:
        width, height, _, num_components = reader.values("<HHHH")
        components = [_component(reader) for _ in range(int(num_components))]
        fps, num_frames, num_people = reader.values(VERSIONS[raw[:4]])
    except struct.error as error:
        raise ValueError("it ends within its header") from error
    num_joints = sum(count for _, count, _ in components)
    dims = max((len(axes) - 1 for _, _, axes in components), default=0)
    row = int(num_people) * num_joints * (dims + 1) * 4
    if not row or dims not in (2, 3):
        raise ValueError("it has no people or no joints")
    # The frame count of version 0.1 has 16 bits, so the rest of the file tells it.
    left = len(raw) - reader.place
    frames = left // row if raw[:4] == next(iter(VERSIONS)) else int(num_frames)
    if frames * row != left:
        raise ValueError(f"its header says {frames} frames of {row} bytes, but {left} bytes follow")
    shape = (frames, int(num_people), num_joints)
    numbers = np.frombuffer(raw, "<f4", offset=reader.place)
    joints = numbers[: math.prod(shape) * dims].reshape(*shape, dims)
    score = numbers[math.prod(shape) * dims :].reshape(shape)
    name, layout = _choose(components, part)
    start = sum(count for _, count, _ in components[: [c[0] for c in components].index(name)])
    count = next(count for found, count, _ in components if found == name)
    chosen = slice(start, start + count)
    clip = np.concatenate([joints[:, :, chosen], score[:, :, chosen, None]], axis=-1)
    clip = np.where(clip[..., -1:] > 0, clip, 0).astype(np.float64)
    frame, place = np.nonzero(clip.any(axis=(2, 3)))
    rows = clip[frame, place]
    if "WORLD" in name:
        rows = from_camera(rows)
    else:
        in_3d = layout == "mediapipe33"
        rows = rows if in_3d else rows[..., [0, 1, -1]]
        rows = from_pixels(rows, (width, height), 3 if in_3d else 2)
    return Recording(rows, frame, frames, layout, fps=fps if fps > 0 else None)


def _component(reader: Reader) -> tuple[str, int, str]:
    """Name, number of joints and axes of the next component."""
    name, axes = reader.text(), reader.text()
    joints, limbs, colours = (int(count) for count in reader.values("<HHH"))
    for _ in range(joints):
        reader.text()
    reader.place += 4 * limbs + 6 * colours
    return name, joints, axes


def _choose(components: list[tuple[str, int, str]], part: str) -> tuple[str, str]:
    """Name of the component that holds a part, and its layout."""
    names = [name for name, _, _ in components]
    found = next((pair for pair in PARTS[part].items() if pair[0] in names), None)
    if found is None:
        raise ValueError(f"it has no {part}, but {', '.join(names[:8])}")
    return found


POSE = Format(
    matches,
    read,
    files=".pose file of pose-format (MediaPipe Holistic, OpenPose)",
    layout="mediapipe33 or openpose25; hand21 with part=",
    units="metres, or image for OpenPose and hands",
    people="several, followed",
)
