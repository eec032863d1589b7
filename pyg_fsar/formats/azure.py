"""Azure Kinect: JSON of the body tracking SDK's offline processor, and of gesture recorders."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyg_fsar.formats.base import Format, Recording
from pyg_fsar.formats.pictures import from_camera
from pyg_fsar.formats.source import Source
from pyg_fsar.formats.timeline import rate_of_times
from pyg_fsar.formats.values import number_array, whole_numbers

__all__ = ["AZURE"]

NUM_JOINTS = 32


def matches(source: Source) -> bool:
    """JSON of frames with ``bodies``, or of samples of frames with 32 joints."""
    content = source.json
    if not isinstance(content, dict):
        return False
    samples = content.get("samples", [content])
    frames = samples[0].get("frames") if samples and isinstance(samples[0], dict) else None
    if not (isinstance(frames, list) and frames and isinstance(frames[0], dict)):
        return False
    return "bodies" in frames[0] or {"jointCount", "values"} <= frames[0].keys()


def read(source: Source, *, sample: int = 0) -> Recording:
    """Read either kind of file.

    The SDK's frames hold millimetres of any number of numbered bodies, y pointing down. Recorded
    gestures hold one body a sample relative to the pelvis, y up in Unity's left-handed axes, in a
    unit of their own, which is kept.

    Args:
        source: The file.
        sample: Number of the sample, where there are several.
    """
    content = source.json
    samples = content.get("samples", [content])
    if not 0 <= sample < len(samples):
        raise ValueError(f"it has no sample {sample}; it has {len(samples)}, counted from 0")
    frames = samples[sample]["frames"]
    return _of_sdk(frames) if "bodies" in frames[0] else _of_gesture(samples[sample], frames)


def _of_sdk(frames: list[Any]) -> Recording:
    people = [(n, body) for n, frame in enumerate(frames) for body in frame["bodies"]]
    if not people:
        raise ValueError("nobody is seen in it")
    millimetres = number_array([body["joint_positions"] for _, body in people], "joint_positions")
    times = np.array([float(frame.get("timestamp_usec", "nan")) for frame in frames])
    return Recording(
        from_camera(millimetres / 1000),
        np.array([number for number, _ in people]),
        len(frames),
        "azure32",
        whole_numbers([body["body_id"] for _, body in people], "body_id"),
        rate_of_times(times * 1e-6),
    )


def _of_gesture(sample: Any, frames: list[Any]) -> Recording:
    values = number_array([frame["values"] for frame in frames], "values")
    joints = values.reshape(len(frames), NUM_JOINTS, 3) * (1, 1, -1)
    if all("weights" in frame for frame in frames):
        weights = number_array([frame["weights"] for frame in frames], "weights")
        joints = np.concatenate([joints, weights[..., None]], axis=-1)
    number = np.arange(len(frames))
    rate = float(sample.get("sampleRate") or 0)
    return Recording(joints, number, len(frames), "azure32", 0 * number, rate if rate > 0 else None)


AZURE = Format(
    matches,
    read,
    files="JSON of Azure Kinect joints",
    layout="azure32",
    units="metres",
    people="several, as in the file",
)
