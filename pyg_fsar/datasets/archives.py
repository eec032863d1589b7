"""Zip files of raw data, of which any part may be damaged."""

from __future__ import annotations

import errno
import os
from functools import lru_cache
from pathlib import Path
from zipfile import ZipFile

from pyg_fsar.data.texts import shorten

__all__ = ["from_system", "read_member", "zip_members"]


def zip_members(path: Path) -> list[str]:
    """Names of the members of a zip file.

    Raises:
        ValueError: If it is no whole zip file.
    """
    try:
        with ZipFile(path) as archive:
            return archive.namelist()
    except Exception as error:  # its bytes decide which error the module raises
        raise _not_whole(error) from error


def read_member(path: Path, member: str, max_bytes: int) -> bytes:
    """Content of a member of a zip file.

    Args:
        path: The zip file. It stays open, since opening one of many members takes long.
        member: Name of the member.
        max_bytes: A larger member is refused before it is unpacked.

    Raises:
        ValueError: If the member is missing, too large, encrypted or damaged.
    """
    try:
        archive = _open(path, path.stat().st_mtime_ns, os.getpid())
        size = archive.getinfo(member).file_size
        content = b"" if size > max_bytes else archive.read(member)
    except Exception as error:  # as above; also what decompressors raise
        raise _not_whole(error) from error
    if size > max_bytes:  # no more than this size is unpacked, whatever really follows
        raise ValueError(f"'{shorten(member, 80)}' has {size} bytes unpacked, which is no clip")
    return content


def from_system(error: Exception) -> bool:
    """Whether an error says something of the machine, not of the content of a file.

    A damaged archive may ask for a place before its beginning, which the system finds invalid.
    """
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def _not_whole(error: Exception) -> Exception:
    if from_system(error):
        return error
    what = "encrypted" if "password" in str(error) else "not a whole zip file"
    return ValueError(f"{what}; download it again ({shorten(repr(error), 120)})")


@lru_cache(maxsize=8)
def _open(path: Path, changed: int, process: int) -> ZipFile:
    """An open zip file for each process, since forked processes share the position of a file."""
    return ZipFile(path)
