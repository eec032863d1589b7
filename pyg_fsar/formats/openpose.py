"""OpenPose: what ``--write_json`` writes, one JSON file per frame."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from pyg_fsar.formats.base import Format, Recording
from pyg_fsar.formats.pictures import from_pixels
from pyg_fsar.formats.source import Source

__all__ = ["OPENPOSE"]

# By how many joints a pose has: BODY_25 and the order of COCO.
LAYOUTS = {25: "openpose25", 18: "openpose18"}
NUMBER = re.compile(r"\d+(?=(_keypoints)?\.json$)")


def matches(source: Source) -> bool:
    """A JSON file with ``people``, or a folder of such files."""
    if source.is_folder:
        files = _frame_files(source)
        return bool(files) and matches(Source(files[0]))
    content = source.json
    frames = content if isinstance(content, list) else [content]
    return bool(frames) and all(isinstance(f, dict) and "people" in f for f in frames)


def read(source: Source, *, size: tuple[float, float] | None = None) -> Recording:
    """Read a folder with one file per frame, a single frame, or a list of frames in one file.

    Args:
        source: The folder or file.
        size: Width and height of the pictures, which the files do not tell.
    """
    if source.is_folder:
        contents = [_frame(path) for path in _frame_files(source)]
    else:
        contents = source.json if isinstance(source.json, list) else [source.json]
    poses: list[list[float]] = []
    frame: list[int] = []
    for number, content in enumerate(contents):
        for person in content["people"]:
            pose = person.get("pose_keypoints_2d", person.get("pose_keypoints"))
            if pose is None:
                raise ValueError(f"a person in frame {number} has no pose_keypoints_2d")
            if any(pose):
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
    joints = np.array(poses, dtype=np.float64).reshape(len(poses), -1, 3)
    return Recording(from_pixels(joints, size), np.array(frame), len(contents), layout)


def _frame_files(source: Source) -> list[Path]:
    return [path for path in source.files if path.suffix.lower() == ".json"]


def _frame(path: Path) -> Any:
    try:
        return Source(path).json
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


OPENPOSE = Format(
    matches,
    read,
    files="folder of JSON files written by --write_json, or one of them",
    layout="openpose25 or openpose18",
    units="image",
)
