"""Making a store, in memory or on disk."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pyg_fsar.data.texts import shorten
from pyg_fsar.datasets.checks import check_metadata
from pyg_fsar.datasets.inputs import Stamp, fingerprint
from pyg_fsar.datasets.storage import (
    FORMAT,
    FRAMES,
    INDEX,
    INFO,
    INPUTS,
    JOURNAL,
    META,
    SKIPPED,
    RawClip,
    SkeletonStore,
    checksum,
    store_folders,
    write_info,
)

__all__ = ["ClipCollector", "StoreWriter"]

# A clip in the index: name, label, number of bodies, number of frames M * T, metadata, checksum of
# the frames.
Row = Sequence[Any]
NUM_FRAMES = 3


class ClipCollector:
    """Takes clips one by one and makes a store of them in memory.

    Args:
        info: What the store is made with: its layout and settings, JSON values only.
    """

    def __init__(self, info: Mapping[str, Any]) -> None:
        self.info: dict[str, Any] = {"format": FORMAT, **info}
        self.sources: list[str] = []
        self._frame_shape: list[int] | None = None  # [V, C], set by the first clip
        self._skeleton: str | None = None  # name of the layout, likewise
        self._kinds: dict[str, str] | None = None  # type of each entry of the metadata, likewise
        self._clips: list[Row] = []
        self._num_frames = 0
        self._skipped: list[tuple[str, str]] = []
        self._frames: list[np.ndarray] = []
        # Of the current raw file; they are part of the store once it is committed.
        self._open_clips: list[Row] = []
        self._open_skipped: list[str] = []

    def append(self, clip: RawClip) -> None:
        """Add a clip of the current raw file, or record why it does not fit the others.

        Raises:
            ValueError: If a store cannot hold its metadata; the message names key and clip.
        """
        M, T, V, C = clip.bodies.shape
        metadata = check_metadata(clip)
        kinds = {key: type(value).__name__ for key, value in sorted(metadata.items())}
        here = f"clip '{shorten(clip.name, 80)}' has"
        if self._frame_shape not in (None, [V, C]):
            self.skip(f"{here} frames {[V, C]}, the others {self._frame_shape}")
        elif self._kinds is not None and clip.skeleton != self._skeleton:
            self.skip(f"{here} skeleton {clip.skeleton!r}, the others {self._skeleton!r}")
        elif self._kinds not in (None, kinds):
            self.skip(f"{here} metadata {kinds}, the others {self._kinds}")
        else:
            self._frame_shape, self._skeleton, self._kinds = [V, C], clip.skeleton, kinds
            frames = np.ascontiguousarray(clip.bodies.reshape(M * T, V, C), dtype="<f4")
            self._write(frames)
            row = (clip.name, int(clip.label), M, M * T, metadata, checksum(frames.data))
            self._open_clips.append(row)

    def skip(self, reason: str) -> None:
        """Record that the current raw file, or a clip of it, is skipped."""
        self._open_skipped.append(shorten(reason, 300))

    def commit(self, source: str) -> None:
        """Finish the current raw file: its clips are now part of the store."""
        self.sources.append(source)
        self._clips += self._open_clips
        self._num_frames += sum(row[NUM_FRAMES] for row in self._open_clips)
        self._skipped += [(source, reason) for reason in self._open_skipped]
        self._open_clips, self._open_skipped = [], []

    def finish(self) -> SkeletonStore:
        """Make the store.

        Raises:
            ValueError: If no clip was taken.
        """
        columns, metadata = self._columns()
        return SkeletonStore(
            frames=np.concatenate(self._frames),
            **columns,  # type: ignore[arg-type]
            metadata=metadata,
            skipped=self._skipped,
            info={**self.info, "skeleton": self._skeleton},
        )

    def _write(self, frames: np.ndarray) -> None:
        self._frames.append(frames)

    def _columns(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        if not self._clips:
            first = "".join(f"\n  {shorten(f, 120)}: {why}" for f, why in self._skipped[:1])
            raise ValueError(
                f"none of {len(self.sources)} raw files holds a clip that can be used{first}"
            )
        names, labels, num_bodies, num_frames, metadata, checksums = zip(*self._clips, strict=True)
        columns = {
            "offsets": np.cumsum([0, *num_frames], dtype=np.int64),
            "num_bodies": np.array(num_bodies, dtype=np.int64),
            "labels": np.array(labels, dtype=np.int64),
            "names": np.array(names, dtype=np.str_),
            "sources": np.array(self.sources, dtype=np.str_),
            "checksums": np.array(checksums, dtype=np.uint32),
        }
        return columns, {key: np.array([row[key] for row in metadata]) for key in metadata[0]}


class StoreWriter(ClipCollector):
    """Writes a store to disk as clips arrive, so it may be larger than memory.

    Everything is written to a hidden folder beside the target, which is renamed to the target when
    it is complete. A journal in it lists the finished raw files: an interrupted run is resumed
    after the last of them for which settings, raw file (name, size and time) and written frames
    are unchanged. Only one process at a time may write a store: use it under :func:`store_lock`.

    Args:
        path: Folder of the store to be made. One that exists stays until the new one is whole.
        info: As for :class:`ClipCollector`.
        sources: All raw files, in the order in which they will be committed. Those that an
            interrupted run has committed are in :attr:`sources` from the start.
        resume: Resume an interrupted run.
        stamps: Size and time of each raw file, if they are known.
        shared: Stamps of the files that all clips depend on, such as label files.

    Raises:
        OSError: If the disk is full, here and in every method; the message tells what is needed.
            What was committed is kept for the next run.
    """

    def __init__(
        self,
        path: str | Path,
        info: Mapping[str, Any],
        sources: Sequence[str],
        resume: bool = True,
        stamps: Sequence[Stamp | None] | None = None,
        shared: Mapping[str, Stamp] | None = None,
    ) -> None:
        super().__init__(info)
        self.path = Path(path)
        self.partial, _ = store_folders(self.path)
        self.num_sources = len(sources)
        self._shared = dict(shared or {})
        with self._explaining_full_disk():
            journal_size = self._read_journal(sources, stamps) if resume else 0
            if not journal_size:
                shutil.rmtree(self.partial, ignore_errors=True)
                self.partial.mkdir(parents=True)
                journal_size = (self.partial / JOURNAL).write_bytes(self._journal_header())
            # Cut off what an interruption left unfinished.
            self._frames_file: BinaryIO = (self.partial / FRAMES).open("ab")
            self._frames_file.truncate(self._num_bytes())
            self._journal_file: BinaryIO = (self.partial / JOURNAL).open("ab")
            self._journal_file.truncate(journal_size)
        self._stamps = iter([*(stamps or [None] * len(sources))][len(self.sources) :])

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._frames_file, self._journal_file):
            with contextlib.suppress(OSError):  # closing tries again to write to a full disk
                file.close()
        if not self._clips:
            shutil.rmtree(self.partial, ignore_errors=True)

    def commit(self, source: str) -> None:
        """Finish the current raw file: a later run need not read it again."""
        entry = [
            *(source, next(self._stamps, None), self._frame_shape, self._skeleton, self._kinds),
            *(self._open_clips, self._open_skipped),
        ]
        line = _journal_line(entry)
        with self._explaining_full_disk():
            # Frames first: what the journal names must be there.
            self._frames_file.flush()
            self._journal_file.write(line)
            self._journal_file.flush()
        super().commit(source)

    def finish(self, inputs: Mapping[str, Stamp] | None = None) -> SkeletonStore:
        """Give the finished store its name and open it.

        Args:
            inputs: Stamps of all files that the store was made from.

        Raises:
            ValueError: If no clip was taken.
        """
        columns, metadata = self._columns()
        columns |= {META + key: column for key, column in metadata.items()}
        info = {
            **self.info,
            "skeleton": self._skeleton,
            "frame_shape": self._frame_shape,
            "fingerprint": fingerprint((inputs or {}).items()),
        }
        texts = {SKIPPED: json.dumps(self._skipped, indent=1), INPUTS: json.dumps(inputs or {})}
        with self._explaining_full_disk():
            np.savez(self.partial / INDEX, **columns)  # type: ignore[arg-type]
            write_info(self.partial, info, texts)
            for name in (FRAMES, INDEX, INFO, *texts):
                with (self.partial / name).open("rb+") as file:
                    os.fsync(file.fileno())
            _, backup = store_folders(self.path)
            if self.path.exists():
                self.path.rename(backup)
            self.partial.rename(self.path)
        shutil.rmtree(backup, ignore_errors=True)
        (self.path / JOURNAL).unlink(missing_ok=True)
        return SkeletonStore.open(self.path)

    def _write(self, frames: np.ndarray) -> None:
        with self._explaining_full_disk():
            self._frames_file.write(frames.data)

    def _num_bytes(self) -> int:
        return 4 * self._num_frames * int(np.prod(self._frame_shape or 0))

    def _journal_header(self) -> bytes:
        return _journal_line([self.info, self._shared])

    def _read_journal(self, sources: Sequence[str], stamps: Sequence[Stamp | None] | None) -> int:
        """Restore what an interrupted run has finished; return the valid length of its journal."""
        try:
            header, *lines = (self.partial / JOURNAL).read_bytes().splitlines(keepends=True)
        except (FileNotFoundError, ValueError):  # interrupted before there was anything
            return 0
        if header != self._journal_header() or not (self.partial / FRAMES).is_file():
            return 0
        size = len(header)
        with (self.partial / FRAMES).open("rb") as frames:
            for line, source, stamp in zip(
                lines, sources, stamps or [None] * len(sources), strict=False
            ):
                entry = _read_journal_line(line)
                if entry is None or entry[:2] != [source, None if stamp is None else [*stamp]]:
                    break
                _, _, shape, skeleton, kinds, clips, skipped = entry
                width = 4 * int(np.prod(shape or 0))
                if any(checksum(frames.read(width * row[NUM_FRAMES])) != row[-1] for row in clips):
                    break
                self._frame_shape, self._skeleton, self._kinds = shape, skeleton, kinds
                self._open_clips, self._open_skipped = clips, skipped
                super().commit(source)
                size += len(line)
        return size

    @contextlib.contextmanager
    def _explaining_full_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            done, free = len(self.sources), shutil.disk_usage(self.path.parent).free
            rest = self._num_bytes() * (self.num_sources - done) // max(done, 1)
            needed = f", about {rest / 2**20:.0f} MiB more are needed" if done else ""
            raise OSError(
                error.errno,
                f"no space left for the store in {self.path.parent}: {free / 2**20:.0f} MiB are "
                f"free{needed}. Free some space there, or pass a processed_dir on another disk, "
                f"and run again; the {done} of {self.num_sources} raw files read so far are kept "
                "there and not read again",
            ) from error


def _journal_line(entry: Sequence[Any]) -> bytes:
    text = json.dumps(entry)
    return f"[{checksum(text.encode())}, {text}]\n".encode()


def _read_journal_line(line: bytes) -> list[Any] | None:
    """An entry of the journal; ``None`` if the line is not whole."""
    number, _, text = line[1:-2].partition(b", ")
    if line[:1] != b"[" or line[-2:] != b"]\n" or number != str(checksum(text)).encode():
        return None
    entry: list[Any] = json.loads(text)
    return entry
