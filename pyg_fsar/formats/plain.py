"""Plain arrays of joints: ``.npy``, ``.npz``, and CSV without names."""

from __future__ import annotations

import re

import numpy as np

from pyg_fsar.formats.arrays import NPZ, load_npz
from pyg_fsar.formats.base import Format, Recording
from pyg_fsar.formats.pictures import from_pixels, from_relative
from pyg_fsar.formats.source import Source
from pyg_fsar.formats.table import read_rows
from pyg_fsar.formats.values import number_array
from pyg_fsar.layouts import IN_FILES
from pyg_fsar.skeleton import Skeleton

__all__ = ["PLAIN"]

NUMBERS = re.compile(rb"[\s,;0-9.eE+\-naN]+")


def matches(source: Source) -> bool:
    """An array of numbers, or text with nothing but numbers."""
    if source.head.startswith(NPZ):
        return b".npy" in source.head
    text = source.head.removeprefix(b"\xef\xbb\xbf")
    return source.array is not None or bool(NUMBERS.fullmatch(text) and text.strip())


def read(
    source: Source,
    *,
    skeleton: str | Skeleton | None = None,
    size: tuple[float, float] | None = None,
    key: str | None = None,
) -> Recording:
    """Read ``[T, V, C]``, ``[M, T, V, C]``, or rows of ``V * C`` numbers.

    3D coordinates are taken as they are: metres, y up. 2D ones are pixels, or relative to the
    picture if none is beyond 2, with y down.

    Args:
        source: The file.
        skeleton: Layout of the joints; may be left out where only one fits.
        size: Width and height of the pictures, for 2D joints.
        key: Name of the array in a ``.npz`` file with several.
    """
    array = _array(source, key)
    layout = Skeleton.get(skeleton) if skeleton is not None else _layout(array)
    if array.ndim == 2:
        if array.shape[1] % layout.num_joints:
            raise ValueError(f"rows of {array.shape[1]} numbers do not fit '{layout.name}'")
        array = array.reshape(len(array), layout.num_joints, -1)
    bodies = array if array.ndim == 4 else array[None]
    if bodies.ndim != 4 or 0 in bodies.shape:
        raise ValueError(f"it must be [T, V, C] or [M, T, V, C], got shape {array.shape}")
    layout.check_joints(bodies.shape[2], "it")
    if not layout.dims <= bodies.shape[3] <= layout.dims + 1:
        raise ValueError(
            f"joints have {bodies.shape[3]} channels; '{layout.name}' has {layout.dims} "
            "coordinates, and a score if any"
        )
    bodies = np.array(bodies, dtype=np.float64)
    bodies[np.isnan(bodies).any(axis=-1)] = 0
    if layout.dims == 2:
        relative = np.abs(bodies[..., :2]).max() <= 2
        bodies = (from_relative if relative else from_pixels)(bodies, size)
    elif size is not None:
        raise ValueError(f"size is for joints found in pictures; '{layout.name}' is 3D")
    return Recording.from_bodies(bodies, layout)


def _array(source: Source, key: str | None) -> np.ndarray:
    if source.head.startswith(NPZ):
        return load_npz(source.raw, key)
    if key is not None:
        raise ValueError("key is for .npz files")
    if source.array is not None:
        return source.array
    return number_array(read_rows(source), "rows")


def _layout(array: np.ndarray) -> Skeleton:
    """The only layout that fits the number of joints and channels."""
    layouts = [Skeleton.get(name) for name in IN_FILES]
    if array.ndim == 2:
        fits = [
            s
            for s in layouts
            if array.shape[1] in (s.num_joints * s.dims, s.num_joints * (s.dims + 1))
        ]
    else:
        joints, channels = array.shape[-2:]
        fits = [s for s in layouts if s.num_joints == joints and channels in (s.dims, s.dims + 1)]
    if len(fits) == 1:
        return fits[0]
    names = ", ".join(layout.name for layout in fits) or "none that is registered"
    raise ValueError(f"shape {array.shape} fits {names}; say which layout it is: skeleton=...")


PLAIN = Format(
    matches,
    read,
    files="``.npy``, ``.npz``, or CSV of numbers: ``[T, V, C]``, ``[M, T, V, C]``, ``[T, V * C]``",
    layout="skeleton=",
    units="metres, or image for 2D layouts",
    people="several, as in the file",
)
