"""Arrays in ``.npy`` and ``.npz`` files, checked before anything of their size is made."""

from __future__ import annotations

import io
import zipfile
import zlib
from tokenize import TokenError

import numpy as np

__all__ = ["NPY", "NPZ", "load_npy", "load_npz"]

NPY = b"\x93NUMPY"
NPZ = b"PK\x03\x04"
MAX_BYTES = 2**28
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def load_npy(raw: bytes) -> np.ndarray:
    """The array of numbers in the content of a ``.npy`` file.

    Raises:
        ValueError: If it is not whole, or holds anything but real numbers.
    """
    stream = io.BytesIO(raw)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in HEADERS:
            raise ValueError(f"version {version}")
        shape, fortran, dtype = HEADERS[version](stream)
    except (ValueError, TypeError, SyntaxError, RecursionError, TokenError, MemoryError) as error:
        raise ValueError(f"its .npy header is damaged ({error})") from error
    if dtype.kind not in "biuf":
        raise ValueError(f"it holds {dtype}, not numbers; save it again as float32")
    count = 1
    for length in shape:
        count *= int(length)
    data = raw[stream.tell() :]
    if any(length < 0 for length in shape) or count * dtype.itemsize != len(data):
        raise ValueError(f"its .npy header says {shape} of {dtype}, but {len(data)} bytes follow")
    array = np.frombuffer(data, dtype=dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def load_npz(raw: bytes, key: str | None = None) -> np.ndarray:
    """An array of numbers in the content of a ``.npz`` file.

    Args:
        raw: Content of the file.
        key: Name of the array; may be left out if there is only one.

    Raises:
        ValueError: If the file is not whole, or has no such array, or several without a key.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            names = [n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy")]
            if key is None and len(names) != 1:
                known = ", ".join(names[:8])
                raise ValueError(f"it has {len(names)} arrays; choose one by key=..., of {known}")
            if key is not None and key not in names:
                raise ValueError(f"it has no array '{key}'; it has {', '.join(names[:8])}")
            name = f"{key if key is not None else names[0]}.npy"
            if archive.getinfo(name).file_size > MAX_BYTES:
                raise ValueError(f"'{name}' has more than {MAX_BYTES // 2**20} MiB; split it")
            with archive.open(name) as member:  # the size may be wrong
                content = member.read(MAX_BYTES + 1)
    # RuntimeError if encrypted, NotImplementedError if compressed in an unknown way.
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise ValueError(f"it is no whole .npz file ({error})") from error
    if len(content) > MAX_BYTES:
        raise ValueError(f"'{name}' has more than {MAX_BYTES // 2**20} MiB; split it")
    return load_npy(content)
