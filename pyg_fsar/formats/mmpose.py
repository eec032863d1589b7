"""MMPose: the JSON that its inferencer writes of a video."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyg_fsar.formats.base import Format, Recording
from pyg_fsar.formats.coco import keypoint_list
from pyg_fsar.formats.pictures import from_pixels
from pyg_fsar.formats.source import Source

__all__ = ["MMPOSE"]


def matches(source: Source) -> bool:
    """JSON of frames with ``instances``, alone or as ``instance_info``."""
    frames = _frames(source.json)
    return bool(frames) and isinstance(frames[0], dict) and "instances" in frames[0]


def read(source: Source, *, size: tuple[float, float] | None = None) -> Recording:
    """Read the people of a video.

    Args:
        source: The file.
        size: Width and height of the pictures, which the file does not tell.
    """
    frames = _frames(source.json)
    if not frames:
        raise ValueError("it has no frames")
    people = [(n, person) for n, frame in enumerate(frames) for person in frame["instances"]]
    if not people:
        raise ValueError("nobody is seen in it")
    entries = []
    for _, person in people:
        scores = person["keypoint_scores"]
        pairs = zip(person["keypoints"], scores, strict=True)
        entries.append({"keypoints": [n for (x, y), score in pairs for n in (x, y, score)]})
    joints, layout = keypoint_list(entries)
    frame = np.array([number for number, _ in people])
    return Recording(from_pixels(joints, size), frame, len(frames), layout)


def _frames(content: Any) -> list[Any]:
    frames = content.get("instance_info") if isinstance(content, dict) else content
    return frames if isinstance(frames, list) else []


MMPOSE = Format(
    matches,
    read,
    files="JSON results of MMPose's inferencer",
    layout="coco17 or halpe26",
    units="image",
    people="several, followed",
)
