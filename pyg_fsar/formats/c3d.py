"""C3D: markers of optical motion capture, in a binary file."""

from __future__ import annotations

import io
import struct
import warnings
from typing import Any

import numpy as np

from pyg_fsar.formats.base import Format, Recording
from pyg_fsar.formats.markers import marker_recording
from pyg_fsar.formats.source import Source

__all__ = ["C3D"]

# What the library raises over damaged files, besides what all parsers may.
DAMAGED = (AssertionError, ArithmeticError, EOFError, MemoryError, NameError, struct.error)


def matches(source: Source) -> bool:
    """A file with the key byte of C3D, and that of a processor at the start of its parameters."""
    head = source.head
    if len(head) < 512 or head[1] != 0x50 or head[0] < 2:
        return False
    start = 512 * (head[0] - 1)
    return len(head) > start + 3 and head[start + 3] in (84, 85, 86)


def read(source: Source, *, scale: float | None = None, up: str | None = None) -> Recording:
    """Read the markers; analog channels and force plates are left out.

    Args:
        source: The file.
        scale: Metres that a unit of the file is, by default what the file says.
        up: The axis that points up, ``"x"``, ``"y"`` or ``"z"``; by default the one that the file
            names (``POINT:Y_SCREEN``), or z.
    """
    try:
        import c3d
    except ImportError as error:
        raise ImportError("reading C3D needs c3d: pip install pyg-fsar[formats]") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong shows below
            reader = c3d.Reader(io.BytesIO(source.raw))
            num_frames = reader.last_frame - reader.first_frame + 1
            _check_size(reader, num_frames, len(source.raw))
            points = np.stack([points for _, points, _ in reader.read_frames()])
    except DAMAGED as error:
        raise ValueError(f"it is damaged ({error!r})") from error
    if len(points) != num_frames:
        raise ValueError(f"it says {num_frames} frames but ends after {len(points)}")
    markers = np.where(points[..., 3:4] < 0, np.nan, points[..., :3])
    labels = [*reader.point_labels, *_texts(reader, "POINT:LABELS2")]  # the second from the 256th
    names = [str(label).strip() for label in labels[: markers.shape[1]]]
    names += [f"marker {number}" for number in range(len(names), markers.shape[1])]
    return marker_recording(
        "c3d",
        names,
        markers,
        unit="".join(_texts(reader, "POINT:UNITS")) or "mm",
        up=up or "".join(_texts(reader, "POINT:Y_SCREEN")).strip(" +-").lower() or "z",
        scale=scale,
        fps=float(reader.point_rate),
    )


def _texts(reader: Any, key: str) -> list[str]:
    """A parameter that is one text or several; none if the file does not have it."""
    parameter = reader.get(key)
    if parameter is None:
        return []
    if len(parameter.dimensions) < 2:
        return [parameter.string_value]
    return [str(text) for text in parameter.string_array]


def _check_size(reader: Any, num_frames: int, size: int) -> None:
    """Refuse a header that promises more than the file can hold, before room is made for it."""
    used, analog = int(reader.point_used), int(reader.analog_used)
    word = 4 if reader.point_scale < 0 else 2
    needed = num_frames * word * (4 * used + analog * int(reader.analog_per_frame))
    if num_frames < 1 or used < 1 or analog < 0 or needed > size:
        raise ValueError(
            f"its header says {num_frames} frames of {used} markers, which {size} bytes cannot hold"
        )


C3D = Format(
    matches,
    read,
    files="C3D file",
    layout="the markers of the file",
    units="metres",
    needs="formats",
)
