"""TRC: markers of optical motion capture, as a table of text."""

from __future__ import annotations

import numpy as np

from pyg_fsar.formats.base import Format, Recording
from pyg_fsar.formats.kinematics import text_lines
from pyg_fsar.formats.markers import marker_recording
from pyg_fsar.formats.source import Source

__all__ = ["TRC"]


def matches(source: Source) -> bool:
    """A text that starts with the word PathFileType."""
    return source.head_text.lstrip()[:12].lower() == "pathfiletype"


def read(source: Source, *, scale: float | None = None, up: str = "y") -> Recording:
    """Read the markers.

    Args:
        source: The file.
        scale: Metres that a unit of the file is, by default what the file says.
        up: The axis that points up, ``"x"``, ``"y"`` (as OpenSim has it) or ``"z"``.
    """
    lines = text_lines(source)
    start = next((n for n, x in enumerate(lines) if x.lower().startswith("frame#")), None)
    if start is None or start < 2:
        raise ValueError("it has no row that starts with Frame#, or no header above it")
    header = dict(zip(lines[start - 2].lower().split(), lines[start - 1].split(), strict=False))
    cells = [cell.strip() for cell in lines[start].split("\t")]
    names = [cell for cell in cells[2:] if cell]
    if not names:
        raise ValueError("it names no markers")
    rows = [row for row in enumerate(lines[start + 1 :], start + 2) if row[1].strip()]
    if rows and "".join(rows[0][1].split()).lower().startswith("x1"):  # names of columns
        rows = rows[1:]
    markers = np.array([_row(number, line, 3 * len(names)) for number, line in rows])
    if not len(markers) or len(markers) != float(header.get("numframes", len(markers))):
        raise ValueError(f"it says {header.get('numframes')} frames, but has {len(markers)}")
    return marker_recording(
        "trc",
        names,
        markers.reshape(len(rows), len(names), 3),
        unit=header.get("units", "mm"),
        up=up,
        scale=scale,
        fps=float(header.get("datarate", "nan")),
    )


def _row(number: int, line: str, width: int) -> np.ndarray:
    """The coordinates in a row after frame and time; an empty cell is NaN."""
    cells = line.rstrip("\r\n").split("\t")[2:]
    if any(cell.strip() for cell in cells[width:]):
        raise ValueError(f"line {number} has more than {width} coordinates")
    if len(cells) < width:
        raise ValueError(f"line {number} has {len(cells)} of {width} coordinates")
    try:
        return np.array([float(cell) if cell.strip() else np.nan for cell in cells[:width]])
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from error


TRC = Format(
    matches,
    read,
    files="TRC file",
    layout="the markers of the file",
    units="metres",
)
