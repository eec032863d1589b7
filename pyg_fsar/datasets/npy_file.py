"""Arrays of numbers in ``.npy`` and ``.npz`` files, whose headers are checked first."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal
from zipfile import ZipFile, is_zipfile

import numpy as np

from pyg_fsar.data.texts import shorten
from pyg_fsar.datasets.archives import from_system

__all__ = ["load_npy", "npz_rows", "npz_shapes"]

HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def load_npy(path: Path) -> np.ndarray:
    """Map a ``.npy`` file of real numbers into memory.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, cut off, or holds anything but real numbers.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            shape, fortran, dtype = _read_header(file, size)
            offset = file.tell()
    except ValueError as error:
        cure = "; read .npz files by SkeletonArrays.from_npz" if is_zipfile(path) else ""
        raise ValueError(f"{path} is not a whole .npy file of numbers ({error}){cure}") from error
    order: Literal["F", "C"] = "F" if fortran else "C"
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.asarray(np.memmap(path, dtype, "r", offset, shape, order))


def npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of each array of real numbers in a ``.npz`` file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged.
    """
    shapes = {}
    with _naming(path), ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith(".npy"):
                with archive.open(member) as file:
                    shape, *_ = _read_header(file, member.file_size)
                shapes[member.filename.removesuffix(".npy")] = shape
    return shapes


def npz_rows(path: Path, name: str) -> Iterator[np.ndarray]:
    """The rows of an array in a ``.npz`` file, one after the other, so that one is in memory.

    Raises:
        ValueError: If the file is damaged, or the array is not stored row by row.
    """
    with _naming(path), ZipFile(path) as archive:
        member = archive.getinfo(f"{name}.npy")
        with archive.open(member) as file:
            shape, fortran, dtype = _read_header(file, member.file_size)
            if fortran and len(shape) > 1:
                raise ValueError(f"'{name}' is stored by columns; save numpy.ascontiguousarray(it)")
            width = dtype.itemsize * int(np.prod(shape[1:], dtype=object))
            for _ in range(shape[0] if shape else 0):
                row = file.read(width)
                if len(row) != width:
                    raise ValueError(f"'{name}' is cut off")
                yield np.frombuffer(row, dtype).reshape(shape[1:])


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn what the parsers of a damaged file raise into an error that names it."""
    try:
        yield
    except Exception as error:
        if from_system(error):
            raise
        what = shorten(error, 160) or type(error).__name__
        raise ValueError(f"{path} is not a whole .npz file of numbers ({what})") from error


def _read_header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether columns come first, and type of the numbers that follow."""
    try:
        shape, fortran, dtype = HEADERS[np.lib.format.read_magic(file)](file)
    except Exception as error:  # the header is a Python literal, whose parser raises many kinds
        raise ValueError(f"its header: {shorten(repr(error), 100)}") from error
    if dtype.kind not in "biuf":
        raise ValueError(f"it holds {shorten(dtype, 60)}; save it again as float32 or int64")
    count = 1  # of any size in Python
    for length in shape:
        count *= length
    if min(shape, default=0) < 0 or count * dtype.itemsize > size - file.tell():
        raise ValueError(f"its header says {shorten(shape, 60)}, for which it is too short")
    return shape, fortran, dtype
