"""MediaPipe Pose (BlazePose): tables, JSON and arrays of 33 landmarks."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

import numpy as np

from pyg_fsar.formats.base import Format, Recording
from pyg_fsar.formats.pictures import from_camera, from_pixels, from_relative
from pyg_fsar.formats.source import Source
from pyg_fsar.formats.table import Columns, joint_key, read_columns, read_joints
from pyg_fsar.formats.values import number_array
from pyg_fsar.skeleton import Skeleton

__all__ = ["MEDIAPIPE"]

NUM_JOINTS = 33
LEFT_HIP, RIGHT_HIP = 23, 24
# What the lists of landmarks of a frame are called, by those who write them.
WORLD = (
    *("keypoints3D", "pose_world_landmarks", "poseWorldLandmarks"),
    *("worldLandmarks", "world_landmarks"),
)
PICTURE = ("keypoints", "pose_landmarks", "poseLandmarks", "landmarks", "pose")
SCORES = ("visibility", "score", "presence")
RATES = ("fps", "frame_rate", "frameRate", "ticksPerSecond")


def matches(source: Source) -> bool:
    """33 landmarks a frame, in a table, JSON, or array ``[T, 33, 3 or 4]``."""
    if source.json is not None:
        people = (person for frame in _frames(source.json) for person in _people(frame, True))
        return len(next(people, [])) == NUM_JOINTS
    if source.array is not None:
        return _landmarks(source.array) is not None
    columns = read_columns(source)
    if columns.is_long:
        return "frame" in columns.others and _is_landmark_table(source, columns)
    layout = columns.layout()
    return _numbered(list(columns.joints)) is not None or bool(
        layout is not None and layout.name.startswith("mediapipe33")
    )


def read(
    source: Source, *, size: tuple[float, float] | None = None, world: bool = True
) -> Recording:
    """Read landmarks, which are metres around the hips (world) or places in the picture.

    Which, is seen from the hips: the middle between them is the origin of world landmarks.

    Args:
        source: The file.
        size: Width and height of the pictures.
        world: Take world landmarks where JSON has both.
    """
    if source.json is not None:
        return _read_json(source.json, size, world)
    if source.array is not None:
        landmarks = _landmarks(source.array)
        if landmarks is None:
            raise ValueError(f"the array has shape {source.array.shape}, not [T, 33, 3 or 4]")
        frame = np.arange(len(landmarks))
        joints, layout = _convert(landmarks, 3, size)
        return Recording(joints, frame, len(frame), layout, 0 * frame)
    columns = read_columns(source)
    if not columns.joints:
        raise ValueError("its first line names no columns of landmarks")
    table = read_joints(source, columns)
    order = _numbered(table.names)
    if order is None:
        keys = {joint: joint_key(joint) for joint in Skeleton.get("mediapipe33").joints}
        missing = [joint for joint, key in keys.items() if key not in table.names]
        if missing:
            raise ValueError(f"it has not all 33 landmarks; '{missing[0]}' is missing")
        order = [table.names.index(key) for key in keys.values()]
    channels = [0, 1] + [2] * columns.has(2) + [3] * columns.has(3)
    joints, layout = _convert(table.values[:, order][..., channels], 2 + columns.has(2), size)
    return table.recording(joints, layout)


def _convert(
    landmarks: np.ndarray, dims: int, size: tuple[float, float] | None
) -> tuple[np.ndarray, str]:
    """Landmarks ``[D, 33, C]`` in the package's axes, and their layout."""
    layout = "mediapipe33" if dims == 3 else "mediapipe33_2d"
    seen = landmarks[landmarks[..., :2].any(axis=(1, 2))]
    seen = seen[np.isfinite(seen[..., :dims]).all(axis=(1, 2))]
    hips = seen[:, [LEFT_HIP, RIGHT_HIP], :dims].mean(axis=1)
    if dims == 3 and len(hips) and np.median(np.abs(hips)) < 0.01:
        return from_camera(landmarks), layout
    # A picture has more than two pixels, and landmarks outside are not as far as that.
    in_pixels = len(seen) > 0 and np.median(np.abs(seen[..., :2])) > 2
    return (from_pixels if in_pixels else from_relative)(landmarks, size, dims), layout


def _landmarks(array: np.ndarray) -> np.ndarray | None:
    """An array as ``[T, 33, 3 or 4]``, if it is that, flattened or not."""
    if array.ndim == 2 and array.shape[1] in (3 * NUM_JOINTS, 4 * NUM_JOINTS):
        return array.reshape(len(array), NUM_JOINTS, -1)
    fits = array.ndim == 3 and array.shape[1] == NUM_JOINTS and array.shape[2] in (3, 4)
    return array if fits and len(array) else None


def _numbered(names: list[frozenset[str]]) -> list[int] | None:
    """Places of joints that are called 0 to 32, or 1 to 33, in their order."""
    for first in (0, 1):
        keys = [frozenset({str(number)}) for number in range(first, first + NUM_JOINTS)]
        if len(names) == NUM_JOINTS and set(keys) == set(names):
            return [names.index(key) for key in keys]
    return None


def _is_landmark_table(source: Source, columns: Columns) -> bool:
    """Whether the joints of the first rows of a long table are MediaPipe's."""
    known = {joint_key(joint) for joint in Skeleton.get("mediapipe33").joints}
    known |= {frozenset({str(number)}) for number in range(NUM_JOINTS + 1)}
    lines = source.head_text.strip().split("\n")[1 : NUM_JOINTS + 2]
    delimiter = max(",;\t ", key=lines[0].count) if lines else ","
    cells = [line.split(delimiter) for line in lines]
    place = columns.others["joint"]
    names = [joint_key(row[place]) for row in cells if len(row) > place]
    return len(set(names) & known) == len(set(names)) >= NUM_JOINTS


def _read_json(content: Any, size: tuple[float, float] | None, world: bool) -> Recording:
    frames = _frames(content)
    people = [(n, p) for n, frame in enumerate(frames) for p in _people(frame, world)]
    if not people:
        raise ValueError("nobody is seen in it")
    if any(len(person) != NUM_JOINTS for _, person in people):
        raise ValueError("a person has not 33 landmarks")
    landmarks = number_array([_numbers(person) for _, person in people], "landmarks")
    joints, layout = _convert(landmarks, 3, size)
    named = content if isinstance(content, dict) else {}
    rate = next((float(named[key]) for key in RATES if named.get(key)), None)
    frame = np.array([number for number, _ in people])
    return Recording(joints, frame, len(frames), layout, fps=rate)


def _frames(content: Any) -> list[Any]:
    frames = content.get("frames") if isinstance(content, dict) else content
    return frames if isinstance(frames, list) else []


def _people(frame: Any, world: bool) -> list[list[Any]]:
    """The lists of landmarks in a frame, one for each person."""
    if isinstance(frame, dict):
        keys = WORLD + PICTURE if world else PICTURE + WORLD
        frame = next((frame[key] for key in keys if frame.get(key)), None)
    if isinstance(frame, dict):  # as protocol buffers are written
        frame = frame.get("landmark")
    if not isinstance(frame, list) or not frame:
        return []
    nested = isinstance(frame[0], list) and frame[0] and isinstance(frame[0][0], dict | list)
    return frame if nested else [frame]


def _numbers(person: list[Any]) -> list[Any]:
    """x, y, z, and the score if there is one, of each landmark."""
    if not isinstance(person[0], dict):
        return [list(landmark[:4]) for landmark in person]
    score = [key for key in SCORES if key in person[0]][:1]
    values = itemgetter("x", "y", "z", *score)
    return [values(landmark) for landmark in person]


MEDIAPIPE = Format(
    matches,
    read,
    files="MediaPipe Pose: CSV (a row per frame or per landmark), JSON, arrays ``[T, 33, 3 or 4]``",
    layout="mediapipe33, or mediapipe33_2d without z",
    units="metres for world landmarks, else picture heights",
    people="one; several in JSON, followed",
)
