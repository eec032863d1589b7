"""What a pickle of NumPy arrays and plain containers may call, rebuilt from checked parts."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numpy as np

__all__ = ["CALLS", "NDARRAY", "Unbuilt", "checked_key"]

# Booleans, whole numbers, floats and texts, without fields: any bytes are values of these.
DTYPE = re.compile("b1|[iu][1248]|f[248]|[SU][1-9][0-9]{0,5}")
MAX_DIMS, MAX_BYTES = 32, 2**48
# The class, which is only an argument here and never called.
NDARRAY = object()

_KEYS = (str, bytes, int, float, type(None), np.number, np.bool_)


class Unbuilt:
    """An object whose state comes later in a pickle.

    Args:
        build: Makes the object from its state.

    Attributes:
        memo: Numbers under which it is to be found.
    """

    __slots__ = ("build", "memo")

    def __init__(self, build: Callable[[Any], Any]) -> None:
        self.build = build
        self.memo: list[int] = []


def checked_key(key: Any) -> Any:
    """A key of a dictionary or an element of a set: what can be hashed in little time.

    Raises:
        UnpicklingError: If it is none.
    """
    parts = key if type(key) is tuple else (key,)
    if len(parts) > 8:
        raise UnpicklingError(f"a key of {len(parts)} parts")
    for part in parts:
        if not isinstance(part, _KEYS):
            raise UnpicklingError(f"a key of type {type(part).__name__}")
        # Numbers beyond 60 bits can be made to have the same hash.
        if part.bit_length() > 60 if isinstance(part, int) else len(str(part)) > 1000:
            raise UnpicklingError("a key beyond 60 bits or 1000 characters")
    return key


def _shown(value: Any) -> str:
    """A value in a message; that of nested values may be endless."""
    plain = isinstance(value, str | bytes | int)
    if isinstance(value, tuple):
        plain = all(isinstance(item, int) for item in value)
    return f"{value!r:.50}" if plain else type(value).__name__


def _reconstruct(array_type: Any, shape: Any, letter: Any) -> Unbuilt:
    if array_type is not NDARRAY or shape != (0,) or letter not in (b"b", "b"):
        raise UnpicklingError("an array that is not one of NumPy's own")

    def build(state: Any) -> np.ndarray:
        _, shape, dtype, is_fortran, data = state
        return _array(data, dtype, shape, "F" if is_fortran is True else "C")

    return Unbuilt(build)


def _dtype(text: Any, align: Any = False, copy: Any = True) -> Unbuilt:
    if isinstance(text, bytes):
        text = text.decode("latin1")
    if not isinstance(text, str) or not DTYPE.fullmatch(text):
        raise UnpicklingError(
            f"it asks for arrays of dtype {_shown(text)}; numbers, booleans and texts can be read"
        )

    def build(state: Any) -> np.dtype:
        _, order, subarray, names, fields, *sizes = state
        dtype = np.dtype(text)
        given = [size for size in sizes[:1] if size != -1]
        if (subarray, names, fields) != (None, None, None) or order not in ("<", ">", "=", "|"):
            raise UnpicklingError("it asks for arrays with fields")
        if any(size != dtype.itemsize for size in given):
            raise UnpicklingError(f"it asks for a dtype {text} of {_shown(given[0])} bytes")
        return dtype.newbyteorder(order)

    return Unbuilt(build)


def _array(data: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    """An array over a copy of the data, which must be exactly its values."""
    if isinstance(data, str):  # how Python 2 wrote bytes
        data = data.encode("latin1")
    if not isinstance(data, bytes | bytearray) or not isinstance(dtype, np.dtype):
        raise UnpicklingError("it asks for an array of Python objects; save lists instead")
    sizes = shape if isinstance(shape, tuple) else (-1,)
    if len(sizes) > MAX_DIMS or not all(type(size) is int and size >= 0 for size in sizes):
        raise UnpicklingError(f"it asks for an array of shape {_shown(shape)}")
    if math.prod(size for size in sizes if size) * dtype.itemsize > MAX_BYTES:
        raise UnpicklingError(f"it asks for an array of shape {_shown(shape)}")
    if math.prod(sizes) * dtype.itemsize != len(data):
        raise UnpicklingError(
            f"it asks for an array of shape {_shown(shape)}, dtype {dtype}, over {len(data)} bytes"
        )
    memory = bytearray(data)
    array: np.ndarray = np.ndarray(sizes, dtype, memory, order="F" if order == "F" else "C")
    if dtype.kind == "b":
        return array.view(np.uint8) != 0  # other bytes than 0 and 1 are no truth values
    if dtype.kind == "U" and array.size:
        codes = np.frombuffer(memory, np.dtype("u4").newbyteorder(dtype.byteorder))
        if codes.max() > 0x10FFFF or ((codes >= 0xD800) & (codes < 0xE000)).any():
            raise UnpicklingError("it asks for texts with characters that there are not")
    return array


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    return _array(data, dtype, shape, order)


def _scalar(dtype: Any, data: Any) -> Any:
    return _array(data, dtype, (1,), "C")[0]


def _encode_latin1(text: Any, encoding: Any) -> bytes:
    # Old protocols write bytes as a call of codecs.encode; other codecs have no place in data.
    if encoding not in ("latin1", "latin-1"):
        raise UnpicklingError(f"encoding {_shown(encoding)}")
    return text.encode("latin1")


def _bytes(data: Any = b"", encoding: Any = "latin1") -> bytes:
    if isinstance(data, str):
        return _encode_latin1(data, encoding)
    # A number would ask for that many bytes.
    if not isinstance(data, bytes):
        raise UnpicklingError(f"it asks for bytes from {type(data).__name__}")
    return data


def _bytearray(data: Any = b"", encoding: Any = "latin1") -> bytearray:
    return bytearray(_bytes(data, encoding))


def _set(items: Any = ()) -> set[Any]:
    if not isinstance(items, list | tuple):
        raise UnpicklingError(f"it asks for a set from {type(items).__name__}")
    return {checked_key(item) for item in items}


def _frozenset(items: Any = ()) -> frozenset[Any]:
    return frozenset(_set(items))


def _ordered_dict(pairs: Any = ()) -> OrderedDict[Any, Any]:
    if not isinstance(pairs, list | tuple):
        raise UnpicklingError(f"it asks for a dictionary from {type(pairs).__name__}")
    return OrderedDict((checked_key(key), value) for key, value in pairs)


#: What a pickle may call, by module and name; nothing of it is the function of that name.
CALLS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode_latin1,
    ("collections", "OrderedDict"): _ordered_dict,
}
for _builtins in ("builtins", "__builtin__"):
    CALLS |= {
        (_builtins, "set"): _set,
        (_builtins, "frozenset"): _frozenset,
        (_builtins, "bytes"): _bytes,
        (_builtins, "bytearray"): _bytearray,
    }
for _core in ("numpy.core", "numpy._core"):  # before NumPy 2 and since
    CALLS |= {
        (f"{_core}.multiarray", "_reconstruct"): _reconstruct,
        (f"{_core}.multiarray", "scalar"): _scalar,
        (f"{_core}.numeric", "_frombuffer"): _from_buffer,
    }
