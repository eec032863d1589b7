"""What a store was made from, and whether that has changed since."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile

from pyg_fsar.data.texts import shorten

__all__ = ["Stamp", "add_digests", "compare_inputs", "fingerprint", "take_stamps"]

# Checksums of all raw files are taken up to this size in total, a few seconds; beyond, their sizes
# and times have to do.
DIGESTED = 2**31
BLOCK = 2**20


class Stamp(NamedTuple):
    """A raw file: size in bytes, time of its last change in ns, and a checksum if one was taken."""

    size: int
    time: int
    digest: int | None = None


def take_stamps(root: Path, files: Iterable[str]) -> Iterator[tuple[str, Stamp]]:
    """Files that are there with their sizes and times; those of a folder are of the files in it.

    A data set may have 100,000 files: of each there is one call of the system and no ``Path``, and
    none has to be kept, since to so many objects Python's garbage collector adds half of the time.

    Args:
        root: Folder of the raw files.
        files: Names relative to it; one that is named twice is looked at once.
    """
    folder = f"{root}{os.sep}"
    for file in dict.fromkeys(files):
        if (stamp := _stamp_of(folder + file)) is not None:
            yield file, stamp


def fingerprint(stamps: Iterable[tuple[str, Stamp]]) -> str:
    """Digest of names, sizes and times of raw files, in any order.

    Where it is equal, no file has come, gone or changed, and a store's list need not be read.
    """
    # No name has a null character.
    entries = sorted(f"{file}\0{stamp.size}\0{stamp.time}" for file, stamp in stamps)
    return hashlib.sha256("\0".join(entries).encode(errors="surrogatepass")).hexdigest()


def _stamp_of(path: str) -> Stamp | None:
    try:
        status = os.stat(path)  # noqa: PTH116
        if S_ISREG(status.st_mode):
            return Stamp(status.st_size, status.st_mtime_ns)
        stats = [file.stat() for file in _files(Path(path))]
    except (OSError, ValueError):  # a ValueError for a name with a null character
        return None
    size = sum(stat.st_size for stat in stats)
    return Stamp(size, max((stat.st_mtime_ns for stat in stats), default=0))


def _digest(path: Path) -> int:
    """CRC-32 of a file, or of all files in a folder.

    Of a zip file it is that of its directory, which has the checksums of the members.
    """
    digest = 0
    for file in _files(path):
        if members := _zip_members(file):
            digest = zlib.crc32(members, digest)
            continue
        with file.open("rb") as content:
            while block := content.read(BLOCK):
                digest = zlib.crc32(block, digest)
    return digest


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if file.is_file())


def _zip_members(path: Path) -> bytes:
    if path.suffix.lower() != ".zip":
        return b""
    try:
        with ZipFile(path) as archive:
            members = [(m.filename, m.file_size, m.CRC) for m in archive.infolist()]
    except (BadZipFile, ValueError, NotImplementedError):  # no zip file, whatever its name
        return b""
    return repr(members).encode(errors="surrogatepass")


def add_digests(root: Path, stamps: Mapping[str, Stamp]) -> dict[str, Stamp]:
    """Stamps with checksums, unless there is too much to read.

    A file that has changed since its stamp was taken keeps it as it is, and so will be found
    changed later.
    """
    archives = {file for file in stamps if file.lower().endswith(".zip")}
    size = sum(stamp.size for file, stamp in stamps.items() if file not in archives)
    digested = dict(stamps)
    for file, stamp in stamps.items():
        path = Path(root, file)
        small = file in archives or size <= DIGESTED
        if small and _stamp_of(str(path)) == stamp:
            digested[file] = stamp._replace(digest=_digest(path))
    return digested


def compare_inputs(
    root: Path,
    then: Mapping[str, Stamp],
    now: Mapping[str, Stamp],
    shared: Collection[str],
    made: str,
    cure: str,
) -> list[str]:
    """Compare raw files with what they were when a store was made.

    Args:
        root: Folder of the raw files.
        then: Their stamps at that time.
        now: Stamps of the raw files that are listed now.
        shared: Those of them on which all clips depend.
        made: Beginning of messages: which store was made.
        cure: End of messages: what to do.

    Returns:
        What is different in a way that leaves the store usable, in words.

    Raises:
        ValueError: If the store is not of these files.
    """
    changes = _changes(root, then, now)
    new = sorted(file for file in now if file not in then)
    changed = [*changes.changed, *(file for file in new if file in shared)]
    if changed:
        raise ValueError(
            f"{made} from files that have changed since: {len(changed)} of those in {root}, such "
            f"as {shorten(changed[0], 80)}; {cure}"
        )
    if new and len(changes.gone) == len(then):
        were = f"such as {shorten(changes.gone[0], 80)}" if then else "or none"
        raise ValueError(
            f"{made} from other raw files, {were}, than those in {root}, such as "
            f"{shorten(new[0], 80)}; {cure}"
        )
    notes = {
        "are new in": new,
        "have gone from": changes.gone,
        "have other times, as after a copy, in": changes.untold,
    }
    return [
        f"{len(files)} raw files {what} {root} since {made}, e.g. {shorten(files[0], 80)}; pass "
        "force_reload=True to read all of them"
        for what, files in notes.items()
        if files
    ]


class _Changes(NamedTuple):
    """Raw files that differ from when a store was made.

    ``untold`` ones have the same size and another time, as after a copy, and no checksum.
    """

    changed: list[str]
    gone: list[str]
    untold: list[str]


def _changes(root: Path, then: Mapping[str, Stamp], now: Mapping[str, Stamp]) -> _Changes:
    # A file that is not listed any more may still be there.
    now = {**now, **dict(take_stamps(root, (file for file in then if file not in now)))}
    changes = _Changes([], [], [])
    for file, stamp in then.items():
        found = now.get(file)
        if found is None:
            changes.gone.append(file)
        elif found.size != stamp.size:
            changes.changed.append(file)
        elif found.time != stamp.time:
            if stamp.digest is None:
                changes.untold.append(file)
            elif _digest(Path(root, file)) != stamp.digest:
                changes.changed.append(file)
    # After a copy all times are other ones. Where some have stayed, the rest was written to.
    if len(changes.untold) < len(then) - len(changes.gone):
        changes.changed.extend(changes.untold)
        changes.untold.clear()
    return changes
