"""The user's folder of compiled libraries.

A library is code that runs in this process, so it is loaded only if nobody else could have written
it, and if it is complete: the folder and the file belong to the user and nobody else may write to
them, and size and SHA-256 digest are those that were written down beside it.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from ctypes import CDLL
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import mkstemp

__all__ = ["LibraryCache", "sweep"]

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
# Longer than any compiler is given.
ABANDONED_SECONDS = 3600


@dataclass(frozen=True)
class LibraryCache:
    """A folder of libraries.

    Args:
        folder: Where they are.
        problem: Why the folder cannot be used, and the cure; empty if it can.
    """

    folder: Path
    problem: str = ""

    @classmethod
    def of_user(cls) -> LibraryCache:
        """That in ``$XDG_CACHE_HOME/pyg_fsar`` or ``~/.cache/pyg_fsar``, made with mode 0700."""
        root = os.environ.get("XDG_CACHE_HOME")
        folder = (Path(root) if root else Path("~/.cache")) / "pyg_fsar"
        try:
            folder = folder.expanduser()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            problem = _not_private(folder)
            if not problem:
                folder.chmod(0o700)
                for pattern in (".*.tmp", "tmp*"):  # the second is of earlier versions
                    sweep(folder, pattern)
        except (OSError, RuntimeError) as error:
            problem = str(error)
        return cls(folder, problem)

    def load(self, name: str) -> CDLL | None:
        """Load a library; None, and nothing is left of it, if it is not there whole.

        Raises:
            OSError: If it is whole and cannot be loaded, as in a folder that may not hold programs.
        """
        path = self.folder / name
        try:
            whole = not _not_private(path) and _digest(path) == _record(path).read_text()
        except (OSError, UnicodeDecodeError):
            whole = False
        if whole:
            return CDLL(str(path))
        for leftover in (path, _record(path)):
            leftover.unlink(missing_ok=True)
        return None

    def store(self, library: Path) -> None:
        """Copy a library into the folder; processes that do so at once do not collide.

        Raises:
            OSError: If the folder cannot be written to, or is full.
        """
        path = self.folder / library.name
        self._write(path, library.read_bytes())
        self._write(_record(path), _digest(library).encode())

    def _write(self, path: Path, content: bytes) -> None:
        number, name = mkstemp(prefix=f".{path.name}-", suffix=".tmp", dir=self.folder)
        try:
            os.close(number)
            Path(name).write_bytes(content)
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


def sweep(folder: Path, pattern: str) -> None:
    """Remove what processes that were killed have left in a folder: files and folders of this user
    that fit the pattern and are older than an hour.
    """
    for path in folder.glob(pattern):
        try:
            status = path.lstat()
            if status.st_uid != os.geteuid() or time.time() - status.st_mtime < ABANDONED_SECONDS:
                continue
            if stat.S_ISDIR(status.st_mode):
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        except OSError:  # another process was faster
            continue


def _not_private(path: Path) -> str:
    """Who else could have written here, and the cure; empty if nobody."""
    status = path.stat()
    if status.st_uid != os.geteuid():
        return f"{path} belongs to another user"
    if status.st_mode & OTHERS_WRITE:
        return f"others may write to {path}; remove it"
    return ""


def _record(library: Path) -> Path:
    return library.with_suffix(".sha256")


def _digest(library: Path) -> str:
    content = library.read_bytes()
    return f"{len(content)} {sha256(content).hexdigest()}"
