"""Reading pickles of arrays without running what is in them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["load_pickle"]


def _encode_latin1(text: str, encoding: str) -> bytes:
    # Old protocols write bytes as a call of codecs.encode; other codecs have no place in data.
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding '{encoding}'")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode_latin1,
}
for _module in ("builtins", "__builtin__"):
    for _container in (set, frozenset, list, dict, tuple, bytearray):
        _ALLOWED[_module, _container.__name__] = _container


class _Unpickler(pickle.Unpickler):
    """Admits NumPy arrays and plain containers."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        # The functions that rebuild arrays moved from numpy.core to numpy._core in NumPy 2.
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name in (
            "_reconstruct",
            "scalar",
        ):
            return super().find_class(_numpy_module("multiarray"), name)
        if module in ("numpy.core.numeric", "numpy._core.numeric") and name == "_frombuffer":
            return super().find_class(_numpy_module("numeric"), name)
        if (module, name) == ("collections", "OrderedDict"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _numpy_module(name: str) -> str:
    core = "numpy._core" if int(np.__version__.split(".")[0]) >= 2 else "numpy.core"
    return f"{core}.{name}"


def load_pickle(path: str | Path) -> Any:
    """Load a pickle that consists of NumPy arrays, numbers, texts and plain containers.

    A pickle can name any function to be called when it is loaded; here only the few that rebuild
    arrays and containers are.

    Args:
        path: File to read.

    Raises:
        ValueError: If the file is no whole pickle or asks for anything else.
        FileNotFoundError: If there is no such file.
    """
    with Path(path).open("rb") as file:
        try:
            return _Unpickler(file, encoding="latin1").load()
        except pickle.UnpicklingError as error:
            raise ValueError(
                f"{path} is no pickle of NumPy arrays and plain containers ({error}). A pickle can "
                "run code when loaded, so anything else is refused; if you trust the file, load it "
                "yourself and save it again with arrays and containers only"
            ) from error
        except (EOFError, IndexError, KeyError, AttributeError, TypeError) as error:
            # What the unpickler meets in a file that was cut off or overwritten.
            raise ValueError(f"{path} is not a whole pickle ({error!r}); get it again") from error
