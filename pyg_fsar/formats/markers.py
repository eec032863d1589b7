"""What formats of markers share: units, axes, and a layout without bones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyg_fsar.formats.base import Recording
from pyg_fsar.formats.kinematics import file_layout

__all__ = ["marker_recording"]

LENGTHS = {
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1.0),
    **dict.fromkeys(("cm", "centimeters", "centimetres"), 0.01),
    **dict.fromkeys(("mm", "millimeters", "millimetres"), 0.001),
    **dict.fromkeys(("in", "inch", "inches"), 0.0254),
}
# From the file's axes to x, y up, z, by a quarter turn: order and signs, by the axis that is up.
TO_Y_UP = {"x": ([1, 0, 2], (-1, 1, 1)), "y": ([0, 1, 2], (1, 1, 1)), "z": ([0, 2, 1], (1, 1, -1))}


def marker_recording(
    kind: str,
    names: Sequence[str],
    markers: np.ndarray,
    unit: str,
    up: str,
    scale: float | None,
    fps: float,
) -> Recording:
    """A recording of one person who wears markers, in metres and y up.

    Args:
        kind: What the name of the layout starts with.
        names: Names of the markers.
        markers: Their places; one that was not seen is NaN.
        unit: The unit of length that the file names.
        up: The axis that points up, ``"x"``, ``"y"`` or ``"z"``.
        scale: Metres that a unit of the file is, in place of what ``unit`` says.
        fps: Frames per second; what is no positive number is left out.

    Shapes:
        - **markers:** ``[T, V, 3]``

    Raises:
        ValueError: If unit, axis or scale is unknown.
    """
    if scale is None:
        unit = unit.strip().lower()
        if unit not in LENGTHS:
            raise ValueError(f"its unit of length is '{unit[:20]}'; give scale=METRES_PER_UNIT")
        scale = LENGTHS[unit]
    if not 0 < scale < np.inf:
        raise ValueError(f"scale must be a positive number of metres, got {scale}")
    if up not in TO_Y_UP:
        raise ValueError(f"up must be 'x', 'y' or 'z', got '{up[:20]}'")
    order, signs = TO_Y_UP[up]
    layout = file_layout(kind, names, [None] * len(names))
    frame = np.arange(len(markers))
    return Recording(
        markers[..., order] * (scale * np.array(signs)),
        frame,
        len(frame),
        layout,
        np.zeros_like(frame),
        fps if 0 < fps < np.inf else None,
    )
