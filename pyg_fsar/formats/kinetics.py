"""Kinetics-skeleton: one JSON file per clip, as published with ST-GCN."""

from __future__ import annotations

import numpy as np

from pyg_fsar.formats.base import Format, Recording
from pyg_fsar.formats.pictures import from_relative
from pyg_fsar.formats.source import Source
from pyg_fsar.formats.timeline import frames_of_numbers
from pyg_fsar.formats.values import number_array

__all__ = ["KINETICS"]


def matches(source: Source) -> bool:
    """JSON with ``data``, a list of frames with ``frame_index`` and ``skeleton``."""
    content = source.json
    frames = content.get("data") if isinstance(content, dict) else None
    return bool(
        isinstance(frames, list)
        and frames
        and isinstance(frames[0], dict)
        and {"frame_index", "skeleton"} <= frames[0].keys()
    )


def read(source: Source, *, size: tuple[float, float] | None = None) -> Recording:
    """Read all people of a clip; they carry no identity.

    Args:
        source: The file.
        size: Width and height of the pictures; published files have 340 x 256.
    """
    frames = source.json["data"]
    index, num_frames = frames_of_numbers([frame["frame_index"] for frame in frames])
    people = [(f, p) for f, entry in zip(index, frames, strict=True) for p in entry["skeleton"]]
    if not people:
        raise ValueError("nobody is seen in it")
    score = number_array([person["score"] for _, person in people], "scores")
    pose = number_array([person["pose"] for _, person in people], "poses")
    joints = np.concatenate([pose.reshape(*score.shape, 2), score[..., None]], axis=-1)
    frame = np.array([number for number, _ in people])
    return Recording(from_relative(joints, size), frame, num_frames, "openpose18")


KINETICS = Format(
    matches,
    read,
    files="JSON file of Kinetics-skeleton",
    layout="openpose18",
    units="image",
    people="several, followed",
)
