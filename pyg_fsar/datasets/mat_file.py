"""Arrays of MATLAB files, level 5, the format of ``.mat`` files up to version 7.2.

SciPy's parser, being compiled, can be crashed by a damaged file, and a crash would end the reading
of all others. The part of the format that holds an array of numbers is small.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

__all__ = ["read_mat_array"]

HEADER = 128
MATRIX, COMPRESSED = 14, 15
# Types of the numbers by their codes in the file, without byte order.
NUMBERS = {
    **{1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4"},
    **{7: "f4", 9: "f8", 12: "i8", 13: "u8"},
}
COMPLEX = 0x0800
NUMERIC_CLASSES = range(6, 16)  # double to uint64; the others are structures, texts, sparse arrays


def read_mat_array(raw: bytes, name: str, max_bytes: int = 2**28) -> np.ndarray:
    """An array of real numbers of a ``.mat`` file.

    Args:
        raw: Content of the file.
        name: Name of the variable.
        max_bytes: A larger variable is refused before it is unpacked.

    Raises:
        ValueError: If the file is damaged, of another version, or has no such array.
    """
    order = {b"IM": "<", b"MI": ">"}.get(raw[126:HEADER])
    if order is None or raw[124:126] not in (b"\0\1", b"\1\0"):
        raise ValueError("it is no MATLAB file of level 5 (save -v7)")
    place = HEADER
    while place < len(raw):
        code, content, place = _element(raw, place, order)
        if code == COMPRESSED:
            unpacker = zlib.decompressobj()
            try:
                content = unpacker.decompress(content, max_bytes)
            except zlib.error as error:
                raise ValueError(f"a variable is damaged ({error})") from error
            if unpacker.unconsumed_tail:
                raise ValueError(f"a variable has more than {max_bytes // 2**20} MiB unpacked")
            if not unpacker.eof:
                raise ValueError("a variable is cut off")
            code, content, _ = _element(content, 0, order)
        if code == MATRIX and (array := _matrix(content, name, order)) is not None:
            return array
    raise ValueError(f"it has no variable '{name}'")


def _element(raw: bytes, place: int, order: str) -> tuple[int, bytes, int]:
    """Type and content of the element at a place, and the place of the next one."""
    if place + 8 > len(raw):
        raise ValueError("it is cut off")
    code, size = struct.unpack_from(f"{order}II", raw, place)
    if small := code >> 16:  # up to four bytes lie in the tag itself
        code, size, start, end = code & 0xFFFF, small, place + 4, place + 8
    else:
        start = place + 8
        # Elements begin at multiples of eight bytes, unless they are compressed.
        end = start + size + (0 if code == COMPRESSED else -size % 8)
    if start + size > len(raw) or (small and size > 4):
        raise ValueError("it is cut off")
    return code, raw[start : start + size], end


def _matrix(content: bytes, name: str, order: str) -> np.ndarray | None:
    """An array of numbers, or ``None`` if the variable has another name."""
    _, flags, place = _element(content, 0, order)
    _, sizes, place = _element(content, place, order)
    _, found, place = _element(content, place, order)
    if found != name.encode():
        return None
    if len(flags) < 4:
        raise ValueError("it is cut off")
    (flag,) = struct.unpack_from(f"{order}I", flags)
    if flag & 0xFF not in NUMERIC_CLASSES or flag & COMPLEX:
        raise ValueError(f"'{name}' is no array of real numbers")
    shape = [size for (size,) in struct.iter_unpack(f"{order}i", sizes[: len(sizes) // 4 * 4])]
    code, numbers, _ = _element(content, place, order)
    if code not in NUMBERS:
        raise ValueError(f"'{name}' holds numbers of the unknown type {code}")
    dtype = np.dtype(order + NUMBERS[code])
    count = 1
    for size in shape:
        count *= size
    if min(shape, default=-1) < 0 or count * dtype.itemsize != len(numbers):
        raise ValueError(f"'{name}' has the shape {shape[:8]}, but {len(numbers)} bytes")
    return np.frombuffer(numbers, dtype).reshape(shape, order="F")
