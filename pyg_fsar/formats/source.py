"""The content of a file or folder, read once for all who ask what it is."""

from __future__ import annotations

import json
import re
import stat
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pyg_fsar.formats.arrays import NPY, NPZ, load_npy, load_npz
from pyg_fsar.saving.safe_pickle import load_pickle

__all__ = ["Source", "encoding", "natural_key"]

HEAD = 2**16
# Larger files are no clip of a few minutes, and would fill the memory.
MAX_BYTES = 2**29
# Parsed JSON may take a multiple of the file's size; so many bytes are allowed for it.
MAX_PARSED = 0.75 * 2**30
SMALL = 2**24  # JSON that is parsed without counting


class Source:
    """A file, or a folder of one file per frame.

    Properties are read when first asked for and then kept. What cannot be read raises ValueError.

    Args:
        path: The file or folder.

    Raises:
        FileNotFoundError: If there is no such file or folder.

    Example:
        >>> size = Path("a.json").write_text("[1, 2]")
        >>> Source("a.json").json
        [1, 2]
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        try:
            self._stat = self.path.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(f"there is no file or folder {path}") from error

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self._stat.st_mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a file; a pipe or device is none, and could be read for ever."""
        return stat.S_ISREG(self._stat.st_mode)

    @cached_property
    def files(self) -> list[Path]:
        """The files in a folder, hidden ones left out, numbers in their names in numerical order;
        none for a file.
        """
        if not self.is_folder:
            return []
        paths = [p for p in self.path.iterdir() if p.is_file() and not p.name.startswith(".")]
        return sorted(paths, key=lambda path: natural_key(path.name))

    @cached_property
    def head(self) -> bytes:
        """The first 64 KiB of a file; nothing for a folder."""
        if not self.is_file:
            return b""
        if self._stat.st_size <= HEAD:
            return self.raw
        with self.path.open("rb") as file:
            return file.read(HEAD)

    @cached_property
    def raw(self) -> bytes:
        """All bytes of a file."""
        if not self.is_file:
            raise ValueError("it is no file")
        size = self._stat.st_size
        if size > MAX_BYTES:
            raise ValueError(
                f"it has {size / 2**20:.0f} MiB, more than the {MAX_BYTES // 2**20} that a clip is "
                "read of; split it"
            )
        return self.path.read_bytes()

    @cached_property
    def text(self) -> str:
        """The file as text: UTF-8, or UTF-16 if it starts with the mark of that."""
        try:
            return self.raw.decode(encoding(self.raw))
        except UnicodeDecodeError as error:
            raise ValueError(
                f"it is no text in {error.encoding}: {error.reason} at byte {error.start}"
            ) from error

    @cached_property
    def head_text(self) -> str:
        """The first 64 KiB as text, with what does not decode replaced."""
        return self.head.decode(encoding(self.head), errors="replace")

    @property
    def json(self) -> Any:
        """The file's JSON; None if the file does not start as JSON does.

        Raises:
            ValueError: If it starts as JSON does but is not whole.
        """
        if self.head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"["):
            return None
        return _value_of(self._json)

    @cached_property
    def _json(self) -> Any:
        raw = self.raw
        if len(raw) > SMALL and _parsed_size(raw) > MAX_PARSED:
            return ValueError(f"its {len(raw) / 2**20:.0f} MiB of JSON are too many; split it")
        try:
            return json.loads(raw.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            return ValueError(f"it starts as JSON does, but is not whole ({error})")

    @property
    def pickle(self) -> Any:
        """The content of a pickle, of which nothing is run; None if the file is no pickle.

        Raises:
            ValueError: If it starts as a pickle does but is not whole, or asks for anything else
                than arrays and plain containers.
        """
        # Pickles of the oldest two protocols are text with no mark, so their name has to tell.
        named = self.path.suffix.lower() in (".pkl", ".pickle") and bool(self.head)
        return _value_of(self._pickle) if self.head[:1] == b"\x80" or named else None

    @cached_property
    def _pickle(self) -> Any:
        try:
            return load_pickle(self.path)
        except ValueError as error:
            return ValueError(str(error).replace(f"{self.path} is", "it is"))

    @cached_property
    def array(self) -> np.ndarray | None:
        """The one array of a ``.npy`` or ``.npz`` file or of a pickle; None if it is none of these.

        A pickled list of one array per frame is stacked; a frame that is None is zero.

        Raises:
            ValueError: If the file is not whole.
        """
        if self.head.startswith(NPY):
            return load_npy(self.raw)
        if self.head.startswith(NPZ):
            return load_npz(self.raw)
        content = self.pickle
        if isinstance(content, list) and any(isinstance(f, np.ndarray) for f in content):
            shape = next(frame.shape for frame in content if frame is not None)
            content = np.stack([np.zeros(shape) if f is None else f for f in content])
        if isinstance(content, np.ndarray) and content.dtype.kind in "biuf":
            return content
        return None


def _parsed_size(raw: bytes) -> int:
    """About how many bytes of memory parsed JSON takes."""
    brackets = raw.count(b"[") + raw.count(b"{")
    return 2 * len(raw) + 40 * raw.count(b",") + 90 * brackets + 50 * raw.count(b'"')


def _value_of(result: Any) -> Any:
    """A value, unless it is the error that was met: then it is raised, to all who ask."""
    if isinstance(result, ValueError):
        raise result
    return result


def encoding(raw: bytes) -> str:
    """The encoding that the first bytes of a text tell."""
    return "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def natural_key(name: str) -> list[tuple[bool, int, str]]:
    """A key that sorts texts with numbers in them by these numbers: ``a2`` before ``a10``."""
    parts = re.split(r"([0-9]{1,1000})", name)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]
