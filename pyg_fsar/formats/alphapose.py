"""AlphaPose: ``alphapose-results.json``, a list of people with the name of their picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyg_fsar.formats.base import Format, Recording
from pyg_fsar.formats.coco import keypoint_list
from pyg_fsar.formats.pictures import from_pixels
from pyg_fsar.formats.source import Source
from pyg_fsar.formats.timeline import frames_of_names
from pyg_fsar.formats.values import whole_numbers

__all__ = ["ALPHAPOSE"]


def matches(source: Source) -> bool:
    """A JSON list of people with ``keypoints`` and the name of a picture."""
    content = source.json
    return bool(
        isinstance(content, list)
        and content
        and isinstance(content[0], dict)
        and isinstance(content[0].get("keypoints"), list)
        and isinstance(content[0].get("image_id"), str)
    )


def read(source: Source, *, size: tuple[float, float] | None = None) -> Recording:
    """Read the people of a video.

    Args:
        source: The file.
        size: Width and height of the pictures, which the file does not tell.
    """
    entries = source.json
    frame, num_frames = frames_of_names([str(entry["image_id"]) for entry in entries])
    joints, layout = keypoint_list(entries)
    person = _identities(entries, frame)
    return Recording(from_pixels(joints, size), frame, num_frames, layout, person)


def _identities(entries: list[Any], frame: np.ndarray) -> np.ndarray | None:
    """Who is who by ``idx``, if AlphaPose was told to track: then nobody is twice in a frame."""
    numbers = [entry.get("idx") for entry in entries]
    if not all(isinstance(number, int | float) for number in numbers):
        return None
    person = whole_numbers(numbers, "idx")
    twice = len(np.unique(np.stack([frame, person]), axis=1).T) < len(frame)
    return None if twice else person


ALPHAPOSE = Format(
    matches,
    read,
    files="alphapose-results.json",
    layout="coco17 or halpe26",
    units="image",
    people="several, by ``idx`` or followed",
)
