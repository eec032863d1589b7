"""The memory-mapped store that all datasets read their clips from."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

__all__ = ["RawClip", "SkeletonStore", "remove_stale", "store_folders", "store_lock"]

# Raised when the files below change their meaning; older stores are then refused, not misread.
FORMAT = 1
FRAMES, INDEX, INFO, SKIPPED = "frames.f32", "index.npz", "info.json", "skipped.json"
# One line per raw file read so far; it exists only while a store is being made.
JOURNAL = "journal.jsonl"
# Columns of the index that hold metadata are marked as such.
META = "metadata."


@dataclass
class RawClip:
    """One clip as a reader makes it from a raw file.

    Args:
        name: Name of the clip.
        bodies: One or more bodies, a missing joint being all zero.
        label: Class label.
        metadata: Further numbers or texts that belong to the clip, such as the subject. All clips
            of a dataset have the same keys; they become attributes of the items.

    Shapes:
        - **bodies:** ``[M, T, V, C]``
    """

    name: str
    bodies: np.ndarray
    label: int
    metadata: Mapping[str, int | float | str] = field(default_factory=dict)


@dataclass
class SkeletonStore:
    """Clips of one dataset: frames one after the other, and an index of which belong to whom.

    On disk a store is a folder of four files: ``frames.f32`` (float32, little endian, mapped into
    memory so that worker processes share its pages), ``index.npz`` (one array per column),
    ``info.json`` (layout and settings) and ``skipped.json`` (raw files that could not be read).
    No pickle is involved.

    Args:
        frames: Frames of all clips, each clip body-major.
        offsets: Where each clip begins in ``frames``, and as the last entry where the last ends.
        num_bodies: Number of bodies of each clip.
        labels: Class label of each clip.
        names: Name of each clip.
        metadata: One array per key of a :class:`RawClip`'s metadata.
        sources: Raw files that were read.
        skipped: Pairs of a raw file (or a clip in it) that was left out, and why.
        info: What the store was made with.
        path: Folder of the store; none if it is kept in memory.

    Shapes:
        - **frames:** ``[sum(M * T), V, C]``
        - **offsets:** ``[num_clips + 1]``
        - **num_bodies, labels, names:** ``[num_clips]``
    """

    frames: np.ndarray
    offsets: np.ndarray
    num_bodies: np.ndarray
    labels: np.ndarray
    names: np.ndarray
    metadata: dict[str, np.ndarray]
    sources: np.ndarray
    skipped: list[tuple[str, str]]
    info: dict[str, Any]
    path: Path | None = None

    @classmethod
    def open(cls, path: str | Path) -> SkeletonStore:
        """Open a store on disk.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If it is damaged or of another version.
        """
        path = Path(path)
        if not path.is_dir():
            raise FileNotFoundError(f"there is no store at {path}")
        try:
            info = json.loads((path / INFO).read_text())
            if info["format"] != FORMAT:
                raise ValueError(f"its format is {info['format']}, this version reads {FORMAT}")
            with np.load(path / INDEX, allow_pickle=False) as columns:
                index = dict(columns)
            skipped = [(file, reason) for file, reason in json.loads((path / SKIPPED).read_text())]
            frames = _map_frames(path, int(index["offsets"][-1]), info["frame_shape"])
        except (FileNotFoundError, ValueError, KeyError, BadZipFile) as error:
            raise ValueError(
                f"the store at {path} cannot be read ({error}); make it anew with force_reload=True"
            ) from error
        metadata = {
            key.removeprefix(META): index.pop(key) for key in list(index) if key.startswith(META)
        }
        return cls(frames, **index, metadata=metadata, skipped=skipped, info=info, path=path)

    def __len__(self) -> int:
        return len(self.labels)

    def __getstate__(self) -> dict[str, Any]:
        # A worker process maps the file again instead of receiving a copy of all frames.
        return self.__dict__ if self.path is None else {**self.__dict__, "frames": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.path is not None:
            self.frames = _map_frames(self.path, int(self.offsets[-1]), self.info["frame_shape"])

    def gather(self, clips: Sequence[int]) -> list[Tensor]:
        """Read several clips into one newly allocated block of memory.

        Args:
            clips: Numbers of the clips.

        Shapes:
            - **output:** one ``[M, T, V, C]`` float32 per clip, views of the block
        """
        if not len(clips):
            return []
        numbers = np.asarray(clips, dtype=np.int64)
        starts, stops = self.offsets[numbers], self.offsets[numbers + 1]
        block = np.concatenate(
            [self.frames[a:b] for a, b in zip(starts.tolist(), stops.tolist(), strict=True)],
            dtype=np.float32,
        )
        parts = torch.from_numpy(block).split((stops - starts).tolist())
        bodies = self.num_bodies[numbers].tolist()
        return [
            part.view(m, part.size(0) // m, *part.shape[1:])
            for part, m in zip(parts, bodies, strict=True)
        ]


def _map_frames(path: Path, num_frames: int, frame_shape: Sequence[int]) -> np.ndarray:
    file = path / FRAMES
    expected = 4 * num_frames * int(np.prod(frame_shape))
    if file.stat().st_size != expected:
        raise ValueError(
            f"{file} has {file.stat().st_size} bytes instead of {expected}, as after a copy that "
            "was cut short"
        )
    frames = np.memmap(file, dtype="<f4", mode="r", shape=(num_frames, *frame_shape))
    return np.asarray(frames)  # still mapped; slices of a plain array are cheaper


def store_folders(path: Path) -> tuple[Path, Path]:
    """Hidden folders beside a store: the one being made, and the one being replaced."""
    return path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.old")


@contextlib.contextmanager
def store_lock(path: Path, timeout: float = -1) -> Iterator[None]:
    """Let only one process at a time make a store; others wait.

    The operating system drops the lock of a process that is killed. On entry, a replacement that
    was interrupted between its two renamings is undone, so that the older store is found again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock"), timeout):
        _, backup = store_folders(path)
        if backup.exists() and not path.exists():
            backup.rename(path)
        shutil.rmtree(backup, ignore_errors=True)
        yield


def remove_stale(path: Path) -> None:
    """Delete what an interrupted replacement of a store left, unless a process is working on it."""
    partial, _ = store_folders(path)
    if partial.exists():
        # Not ours to delete where the folder is read-only.
        with contextlib.suppress(Timeout, PermissionError), store_lock(path, timeout=0):
            shutil.rmtree(partial, ignore_errors=True)
