"""Files that belong together: written whole or not at all, and checked when they are read.

One of them, the manifest, is JSON and holds a checksum of each file and of itself. A save writes
all files beside their places, with the ending ``.part``, and then moves them there, the manifest
last. At any moment either the manifest in place or the one beside it fits files that are in place
or beside it, so a reader finds the former state or the new one, whole, wherever a save was
interrupted.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

__all__ = [
    "Snapshot",
    "checksum",
    "pack_manifest",
    "read_manifest",
    "read_snapshot",
    "write_files",
]

MAX_MANIFEST = 2**24  # bytes
DIGEST_SIZE = 16  # bytes
BLANK = b"0" * (2 * DIGEST_SIZE)


@dataclass(frozen=True)
class Snapshot:
    """The files of one save, as they were read.

    Args:
        folder: Where they come from.
        files: Content of each file by name.
        damaged: Name of a file that is not what the manifest says, if there is one.

    Example:
        >>> STGCN("ntu25", num_blocks=2).save_pretrained("encoder")
        >>> snapshot = read_snapshot(Path("encoder"), "config.json", ("model.safetensors",))
        >>> sorted(snapshot.files), snapshot.damaged
        (['config.json', 'model.safetensors'], None)
    """

    folder: Path
    files: Mapping[str, bytes]
    damaged: str | None = None


def checksum(content: bytes) -> str:
    """A fast checksum: finds damage and mixtures of two saves, but no forgery."""
    return blake2b(content, digest_size=DIGEST_SIZE).hexdigest()


def pack_manifest(content: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """The manifest of some files.

    Args:
        content: What it says besides, which JSON can hold.
        files: Content of each file by name.
    """
    sums = {name: checksum(data) for name, data in files.items()}
    # Lines end in "\n" on every system, for the sake of the checksum.
    content = {**content, "files": sums, "checksum": BLANK.decode()}
    data = (json.dumps(content, indent=2) + "\n").encode()
    before, _, after = data.rpartition(BLANK)
    return before + checksum(data).encode() + after


def read_manifest(data: bytes, path: str | Path) -> tuple[dict[str, Any], bool]:
    """What a manifest says, and whether it is as it was saved.

    One without a checksum, of an earlier version or edited by hand, counts as such.

    Args:
        data: Its content.
        path: The file, for messages.

    Raises:
        ValueError: If it is no JSON object of at most 16 MiB.
    """
    try:
        if len(data) > MAX_MANIFEST:
            raise ValueError(f"{len(data)} bytes are too many")
        content = json.loads(data.decode("utf-8"))
        if not isinstance(content, dict):
            raise TypeError("no object in braces")
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged or was not saved by this package ({error!r:.200}); copy or save it "
            "again"
        ) from error
    stored = content.pop("checksum", None)
    if stored is None:
        # The name of the checksum may itself be what is damaged.
        return content, not any(_is_checksum(value) for value in content.values())
    # Git may have changed the ends of lines.
    before, _, after = data.replace(b"\r\n", b"\n").rpartition(str(stored).encode())
    is_whole = _is_checksum(stored) and checksum(before + BLANK + after) == stored
    return content, is_whole


def _is_checksum(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{32}", value) is not None


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files that belong together, in place of earlier ones of the same names.

    Args:
        folder: Where to; made if it is missing.
        files: Content of each file by name. The last one is the manifest of the others.

    Raises:
        OSError: If they cannot be written; those that were there before stay.
    """
    *others, manifest = files
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        _finish_former(folder, manifest, others)
        try:
            for name, content in files.items():
                with _beside(folder, name).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
        except BaseException:
            for name in files:
                _beside(folder, name).unlink(missing_ok=True)
            if is_new:
                folder.rmdir()
            raise
        place = folder / manifest
        if place.is_file() and not _sums(place.read_bytes()):
            place.unlink()  # without checksums it would seem to fit the files of this save
        for name in files:
            _beside(folder, name).replace(folder / name)


def read_snapshot(folder: Path, manifest: str, others: Sequence[str]) -> Snapshot:
    """Read files that :func:`write_files` wrote, all of the same save.

    Args:
        folder: The folder.
        manifest: Name of the manifest.
        others: Names of the files to read that it belongs to.

    Raises:
        FileNotFoundError: If a file is missing.
    """
    for _ in range(100):
        before = _state(folder, manifest, others)
        for path in (folder / manifest, _beside(folder, manifest)):
            with contextlib.suppress(OSError):
                found = _read_fitting(folder, path, others)
                if found is not None:
                    return Snapshot(folder, found)
        if _state(folder, manifest, others) == before:
            break
        time.sleep(0.001)  # somebody is saving: look again
    files = {name: (folder / name).read_bytes() for name in (manifest, *others)}
    sums = _sums(files[manifest]) or {}
    wrong = [name for name in others if sums and sums.get(name) != checksum(files[name])]
    return Snapshot(folder, files, wrong[0] if wrong else manifest)


def _beside(folder: Path, name: str) -> Path:
    return folder / f"{name}.part"


def _read_fitting(folder: Path, manifest: Path, others: Sequence[str]) -> dict[str, bytes] | None:
    """The files that fit a manifest, in place or beside it; None if one does not."""
    data = manifest.read_bytes()
    sums = _sums(data)
    if sums is None:
        return None
    files = {}
    for name in others:
        for path in (folder / name, _beside(folder, name)):
            if path.is_file():
                content = path.read_bytes()
                if not sums or sums.get(name) == checksum(content):
                    files[name] = content
                    break
        else:
            return None
    return {**files, manifest.name.removesuffix(".part"): data}


def _sums(data: bytes) -> dict[str, Any] | None:
    """Checksums that a manifest holds, none for one without; None if it is damaged."""
    try:
        content, is_whole = read_manifest(data, "")
    except ValueError:
        return None
    sums = content.get("files", {})
    return sums if is_whole and isinstance(sums, dict) else None


def _state(folder: Path, manifest: str, others: Sequence[str]) -> list[tuple[int, ...]]:
    state: list[tuple[int, ...]] = []
    for name in (manifest, *others):
        for path in (folder / name, _beside(folder, name)):
            with contextlib.suppress(OSError):
                stat = path.stat()
                state.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return state


def _finish_former(folder: Path, manifest: str, others: Sequence[str]) -> None:
    """Complete a save that was interrupted after it began to move files."""
    with contextlib.suppress(FileNotFoundError):
        if _read_fitting(folder, folder / manifest, others) is not None:
            return
    with contextlib.suppress(FileNotFoundError):
        snapshot = _read_fitting(folder, _beside(folder, manifest), others)
        for name, content in (snapshot or {}).items():
            if not (folder / name).is_file() or (folder / name).read_bytes() != content:
                _beside(folder, name).replace(folder / name)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process after the other write, where the system has such locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have none
            fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)
