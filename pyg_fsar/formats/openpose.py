"""OpenPose: what ``--write_json`` writes, one JSON file per frame."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from pyg_fsar.formats.base import Format, Recording
from pyg_fsar.formats.pictures import from_pixels, from_relative
from pyg_fsar.formats.source import Source
from pyg_fsar.formats.values import number_array

__all__ = ["OPENPOSE"]

# By how many joints a pose has: BODY_25, the order of COCO, and a hand.
LAYOUTS = {25: "openpose25", 18: "openpose18", 21: "hand21"}
PARTS = {
    "pose": ("pose_keypoints_2d", "pose_keypoints"),  # the second up to version 1.0
    "left_hand": ("hand_left_keypoints_2d", "hand_left_keypoints"),
    "right_hand": ("hand_right_keypoints_2d", "hand_right_keypoints"),
}
NAME = re.compile(r"(.*?)\d*(_keypoints)?\.json", re.IGNORECASE)


def matches(source: Source) -> bool:
    """A JSON file with ``people``, or a folder of such files."""
    if source.is_folder:
        first = next((path for path in source.files if _is_json(path)), None)
        return first is not None and matches(Source(first))
    frames = source.json if isinstance(source.json, list) else [source.json]
    return bool(frames) and all(isinstance(f, dict) and "people" in f for f in frames)


def read(
    source: Source, *, size: tuple[float, float] | None = None, part: str = "pose"
) -> Recording:
    """Read a folder with one file per frame, a single frame, or a list of frames in one file.

    Args:
        source: The folder or file.
        size: Width and height of the pictures, which the files do not tell.
        part: ``"pose"``, ``"left_hand"`` or ``"right_hand"``.
    """
    if part not in PARTS:
        raise ValueError(f"unknown part '{part}'; known are {', '.join(PARTS)}")
    if source.is_folder:
        contents = [_frame(path) for path in _frame_files(source)]
    else:
        contents = source.json if isinstance(source.json, list) else [source.json]
    poses: list[list[float]] = []
    frame: list[int] = []
    for number, content in enumerate(contents):
        for person in content["people"]:
            pose = next((person[key] for key in PARTS[part] if key in person), None)
            if pose is None:
                raise ValueError(f"a person in frame {number} has no {PARTS[part][0]}")
            if any(pose):  # joints that were not found are zero
                poses.append(pose)
                frame.append(number)
    if not poses:
        raise ValueError("nobody is seen in it")
    lengths = {len(pose) for pose in poses}
    layout = LAYOUTS.get(max(lengths) // 3)
    if len(lengths) > 1 or layout is None or max(lengths) % 3:
        raise ValueError(
            f"poses have {sorted(lengths)[:5]} numbers; BODY_25 has 75, the order of COCO 54"
        )
    joints = number_array(poses, "keypoints").reshape(len(poses), -1, 3)
    # With --keypoint_scale 3 coordinates go from 0 to 1; a picture has more than two pixels.
    relative = np.abs(joints[..., :2]).max() <= 2
    joints = from_relative(joints, size) if relative else from_pixels(joints, size)
    return Recording(joints, np.array(frame), len(contents), layout)


def _is_json(path: Path) -> bool:
    return path.suffix.lower() == ".json"


def _frame_files(source: Source) -> list[Path]:
    files = [path for path in source.files if _is_json(path)]
    names = [NAME.fullmatch(path.name) for path in files]
    stems = {name.group(1) for name in names if name is not None}
    if len(stems) > 1:
        raise ValueError(
            f"it has frames of {len(stems)} clips, such as {' and '.join(sorted(stems)[:2])}; move "
            "them to a folder each"
        )
    return files


def _frame(path: Path) -> Any:
    try:
        return Source(path).json
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


OPENPOSE = Format(
    matches,
    read,
    files="folder of JSON files written by ``--write_json``, or one of them",
    layout="openpose25 or openpose18; hand21 with part=",
    units="image",
    people="several, followed",
)
