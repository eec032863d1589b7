"""The memory-mapped store that all datasets read their clips from."""

from __future__ import annotations

import contextlib
import json
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from pyg_fsar.datasets.inputs import Stamp

__all__ = [
    "FORMAT",
    "FRAMES",
    "INDEX",
    "INFO",
    "INPUTS",
    "JOURNAL",
    "MAX_LABEL",
    "META",
    "SKIPPED",
    "RawClip",
    "SkeletonStore",
    "checksum",
    "is_outdated",
    "remove_stale",
    "store_folders",
    "store_lock",
    "write_info",
]

#: Raised when the files below change their meaning; older stores are then made anew, not misread.
FORMAT = 2
FRAMES, INDEX, INFO, SKIPPED = "frames.f32", "index.npz", "info.json", "skipped.json"
#: The raw files that the store was made from. It is looked at only where these are still there.
INPUTS = "inputs.json"
#: One line per raw file read so far; it exists only while a store is being made.
JOURNAL = "journal.jsonl"
#: Columns of the index that hold metadata are marked as such.
META = "metadata."
#: Every label up to the largest is a class with a name, so a large one costs memory.
MAX_LABEL = 100_000
# Columns of the index, and the kinds of NumPy types that they may have.
COLUMNS = {
    **{"offsets": "i", "num_bodies": "i", "labels": "i"},
    **{"names": "U", "sources": "U", "checksums": "u"},
}
# Frames of stores up to this size are verified when the store is opened, in some hundredths of a
# second; those of larger ones clip by clip, each when it is first read.
VERIFIED_AT_ONCE = 2**24


@dataclass
class RawClip:
    """One clip as a reader makes it from a raw file.

    Args:
        name: Name of the clip.
        bodies: One or more bodies, a missing joint being all zero.
        label: Class label.
        metadata: Further numbers or texts that belong to the clip, such as the subject. All clips
            of a dataset have the same keys; they become attributes of the items.
        scored: Whether the last channel is a confidence score, if that is known. It tells layouts
            apart that have equally many joints.
        skeleton: Name of the layout of the joints, if the raw file tells.

    Shapes:
        - **bodies:** ``[M, T, V, C]``

    Example:
        >>> clip = RawClip("wave_01", np.random.randn(1, 20, 25, 3), label=3)
        >>> clip.bodies.shape
        (1, 20, 25, 3)
    """

    name: str
    bodies: np.ndarray
    label: int
    metadata: Mapping[str, int | float | str] = field(default_factory=dict)
    scored: bool | None = None
    skeleton: str | None = None


@dataclass
class SkeletonStore:
    """Clips of one dataset: all frames in one array, and an index of the clips.

    On disk a store is a folder of five files: ``frames.f32`` (float32, little endian, mapped into
    memory so that worker processes share its pages), ``index.npz`` (one array per column),
    ``info.json`` (layout and settings), ``inputs.json`` (size, time and checksum of the raw files)
    and ``skipped.json`` (raw files that could not be read). No pickle is involved. Everything has a
    checksum: damage is an error, when the store is opened or when what is damaged is first read.

    Args:
        frames: Frames of all clips, each clip body-major.
        offsets: Where each clip begins in ``frames``, and as the last entry where the last ends.
        num_bodies: Number of bodies of each clip.
        labels: Class label of each clip.
        names: Name of each clip.
        metadata: One array per key of a :class:`RawClip`'s metadata.
        sources: Raw files that were read.
        checksums: CRC-32 of the frames of each clip.
        skipped: Pairs of a raw file that was skipped, entirely or in part, and the reason.
        info: What the store was made with.
        path: Folder of the store; none if it is kept in memory.

    Shapes:
        - **frames:** ``[sum(M * T), V, C]``
        - **offsets:** ``[num_clips + 1]``
        - **num_bodies, labels, names:** ``[num_clips]``

    Example:
        >>> store = dataset.store
        >>> len(store), store.frames.shape[1:]
        (30, (25, 3))
    """

    frames: np.ndarray
    offsets: np.ndarray
    num_bodies: np.ndarray
    labels: np.ndarray
    names: np.ndarray
    metadata: dict[str, np.ndarray]
    sources: np.ndarray
    checksums: np.ndarray
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
            info = _read_info(path)
            # Reading a member of the .npz file compares it with the checksum that is stored there.
            with (path / INDEX).open("rb") as file, np.load(file, allow_pickle=False) as columns:
                index = dict(columns)
            if lacking := COLUMNS.keys() - index.keys():
                raise ValueError(f"{INDEX} lacks {', '.join(sorted(lacking))}")
            metadata = {
                key.removeprefix(META): index.pop(key)
                for key in list(index)
                if key.startswith(META)
            }
            skipped = [(str(file), str(why)) for file, why in _read_checked(path, SKIPPED, info)]
            _check_index(index, metadata)
            frames = _map_frames(path, int(index["offsets"][-1]), info["frame_shape"])
            store = cls(frames, **index, metadata=metadata, skipped=skipped, info=info, path=path)
            if frames.nbytes <= VERIFIED_AT_ONCE:
                store.verify()
        except _DAMAGE as error:
            raise ValueError(
                f"the store at {path} cannot be read ({str(error)[:200]}); make it anew with "
                "force_reload=True"
            ) from error
        return store

    def __post_init__(self) -> None:
        # Frames in memory need no verification; those on disk are verified when first read.
        self.verified = np.full(len(self.labels), self.path is None)

    def inputs(self) -> dict[str, Stamp]:
        """The raw files that the store was made from.

        Raises:
            ValueError: If the list is damaged.
        """
        if self.path is None:
            return {}
        try:
            return {
                file: Stamp(*stamp)
                for file, stamp in _read_checked(self.path, INPUTS, self.info).items()
            }
        except _DAMAGE as error:
            raise ValueError(
                f"the store at {self.path} is damaged ({error}); make it anew with "
                "force_reload=True"
            ) from error

    def verify(self, clips: Sequence[int] | None = None) -> None:
        """Compare the frames with their checksums, about a second per GiB.

        Args:
            clips: Numbers of the clips to verify; by default all.

        Raises:
            ValueError: If the frames of a clip have changed since they were written.
        """
        for clip in range(len(self)) if clips is None else clips:
            a, b = self.offsets[clip : clip + 2].tolist()
            if checksum(self.frames[a:b].data) != self.checksums[clip]:
                raise ValueError(
                    f"clip '{self.names[clip]}' in the store at {self.path} is damaged: its frames "
                    "do not have the checksum they were written with; make the store anew with "
                    "force_reload=True"
                )
            self.verified[clip] = True

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
        if not self.verified[numbers].all():
            self.verify(numbers[~self.verified[numbers]].tolist())
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


# What reading a damaged file may raise: its bytes decide what NumPy's parsers meet.
_DAMAGE = (
    *(OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError),
    *(BadZipFile, zlib.error, SyntaxError, RecursionError, NotImplementedError, OverflowError),
    *(RuntimeError, MemoryError, TokenError),
)


def checksum(data: bytes | memoryview) -> int:
    """CRC-32 of some bytes."""
    return zlib.crc32(data)


def write_info(path: Path, info: Mapping[str, Any], files: Mapping[str, str]) -> None:
    """Write the texts of a store with their checksums.

    Args:
        path: Folder of the store.
        info: What the store was made with.
        files: Content of the other text files.
    """
    for name, text in files.items():
        (path / name).write_text(text)
    sealed = {**info, "checksums": {name: checksum(text.encode()) for name, text in files.items()}}
    text = json.dumps(sealed, indent=1)
    (path / INFO).write_text(json.dumps({"checksum": checksum(text.encode()), "info": text}))


class _OtherFormat(ValueError):
    """A store of another version of this package."""

    def __init__(self, found: int) -> None:
        super().__init__(f"its format is {found}, this version reads {FORMAT}")
        self.is_older = found < FORMAT


def _read_info(path: Path) -> dict[str, Any]:
    content = json.loads((path / INFO).read_bytes())
    if content.get("format", FORMAT) != FORMAT:  # the first format had no checksum here
        raise _OtherFormat(content["format"])
    if checksum(content["info"].encode()) != content["checksum"]:
        raise ValueError(f"{INFO} has changed since it was written")
    info: dict[str, Any] = json.loads(content["info"])
    if info["format"] != FORMAT:
        raise _OtherFormat(info["format"])
    return info


def _read_checked(path: Path, name: str, info: Mapping[str, Any]) -> Any:
    content = (path / name).read_bytes()
    if checksum(content) != info["checksums"][name]:
        raise ValueError(f"{name} has changed since it was written")
    return json.loads(content)


def _check_index(index: Mapping[str, np.ndarray], metadata: Mapping[str, np.ndarray]) -> None:
    """Refuse columns that no clip can be read by, whatever their checksums say."""
    for name, column in index.items():
        if column.ndim != 1 or column.dtype.kind not in COLUMNS.get(name, ""):
            raise ValueError(f"column '{name:.60}' in {INDEX} is of another kind")
    num_bodies, labels = index["num_bodies"], index["labels"]
    num_frames = np.diff(index["offsets"])
    columns = (num_frames, num_bodies, index["names"], index["checksums"], *metadata.values())
    if not len(labels) or any(column.shape != labels.shape for column in columns):
        raise ValueError(f"the columns in {INDEX} are of different lengths, or of none")
    if not 0 <= labels.min() <= labels.max() <= MAX_LABEL:
        raise ValueError(f"labels in {INDEX} are from {labels.min()} to {labels.max()}")
    whole = (num_bodies > 0) & (num_frames > 0)
    if index["offsets"][0] != 0 or not whole.all() or (num_frames % num_bodies).any():
        raise ValueError(f"the bodies in {INDEX} do not fit the frames")


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


def is_outdated(path: Path) -> bool:
    """Whether a store is of an older version of this package, which this one does not read."""
    try:
        _read_info(path)
    except _OtherFormat as error:
        return error.is_older
    except _DAMAGE:
        return False  # reported when the store is opened
    return False


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
