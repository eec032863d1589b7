"""Tables with named joints: Kinect v1 and v2, and any other registered layout."""

from __future__ import annotations

import numpy as np

from pyg_fsar.formats.base import Format, Recording
from pyg_fsar.formats.pictures import from_pixels, from_relative
from pyg_fsar.formats.source import Source
from pyg_fsar.formats.table import joint_key, read_columns, read_joints

__all__ = ["JOINTS_CSV"]

# No room is larger; such coordinates are millimetres.
MAX_METRES = 100.0


def matches(source: Source) -> bool:
    """A table with columns for x and y, perhaps z, of all joints of a registered layout."""
    return read_columns(source).layout() is not None


def read(source: Source, *, size: tuple[float, float] | None = None) -> Recording:
    """Read a table with one row per frame, or per frame and person.

    3D coordinates are metres, or millimetres if any is beyond 100, in the axes of a Kinect. 2D ones
    are pixels, or relative to the picture if none is beyond 2.

    Args:
        source: The file.
        size: Width and height of the pictures, for 2D joints.
    """
    columns = read_columns(source)
    layout = columns.layout()
    if layout is None:
        raise ValueError("its columns are not those of x, y (and z) of all joints of a layout")
    table = read_joints(source, columns)
    order = [table.names.index(joint_key(joint)) for joint in layout.joints]
    axes = list(range(layout.dims))
    scored = all(3 in columns.joints[joint_key(joint)] for joint in layout.joints)
    joints = table.values[:, order][..., axes + [3] * scored]
    farthest = np.nanmax(np.abs(joints[..., axes]), initial=0)
    if layout.dims == 3:
        if size is not None:
            raise ValueError("size is for joints found in pictures; these are 3D")
        joints[..., axes] /= 1000 if farthest > MAX_METRES else 1
        return table.recording(joints, layout)
    convert = from_relative if farthest <= 2 else from_pixels
    return table.recording(convert(joints, size), layout)


JOINTS_CSV = Format(
    matches,
    read,
    files="CSV with a column per coordinate of named joints, as of Kinect v1 and v2",
    layout="kinect20, ntu25, or any that is registered",
    units="metres, or image for 2D layouts",
    people="several, by a column",
)
