"""What all datasets share: reading, checking, storing and selecting clips."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch_geometric import get_home_dir
from torch_geometric.data import Dataset
from tqdm import tqdm

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.datasets.storage import SKIPPED, RawClip, SkeletonStore, remove_stale, store_lock
from pyg_fsar.datasets.writing import ClipCollector, StoreWriter
from pyg_fsar.skeleton import Skeleton

__all__ = ["SkeletonDataset"]

# Below this, starting another process takes longer than reading its share of the files.
FILES_PER_WORKER = 64
# What a worker sends at a time: sending costs about as much as reading a small file.
FILES_PER_BATCH = 16

# The layout meant by a number of joints where none is given.
USUAL_LAYOUT = {
    17: "coco17",
    18: "openpose18",
    20: "kinect20",
    25: "ntu25",
    33: "mediapipe33",
}


class SkeletonDataset(Dataset):
    r"""Base of all datasets of skeleton clips.

    A subclass says which raw files there are (:meth:`raw_files`) and what clips one of them holds
    (:meth:`read_raw`). This class reads them in parallel, leaves out what is broken with its
    reason, and keeps the rest in a :class:`~pyg_fsar.datasets.SkeletonStore`, which later runs map
    into memory at once. All bodies that are zero throughout are dropped. An interrupted run goes
    on where it stopped, and several processes may start at once: one makes the store, the others
    wait for it.

    Indexing works as in any PyG dataset; views share one store.

    Args:
        root: Folder of the raw data. With neither this nor ``processed_dir``, clips are read anew
            each time and kept in memory.
        skeleton: Layout of the joints, or its registered name; by default the usual one for the
            number of joints found.
        class_names: Name of each class, indexed by label; by default the numbers themselves.
        transform: Applied to each clip on access.
        processed_dir: Folder of the store. By default ``root/processed`` or, where that cannot be
            written, a folder in PyG's cache (``$PYG_HOME``).
        num_workers: Number of processes that read raw files, ``0`` for this one; by default as many
            as there are free cores, if there are files enough.
        force_reload: Make the store anew.
        settings: What :meth:`read_raw` depends on apart from the file, as JSON values. A store that
            was made with other settings is refused.

    Raises:
        FileNotFoundError: If there is no raw data.
        ValueError: If no raw file holds a usable clip, or an existing store does not fit.
        OSError: If the disk is full. What was read is kept for the next run.

    Example:
        >>> class Stick(SkeletonDataset):
        ...     def raw_files(self):
        ...         return sorted(path.name for path in Path(self.root).glob("*.npy"))
        ...
        ...     def read_raw(self, file):
        ...         yield RawClip(file, np.load(Path(self.root, file))[None], label=0)
    """

    def __init__(
        self,
        root: str | Path | None = None,
        skeleton: str | Skeleton | None = None,
        class_names: Sequence[str] = (),
        transform: Callable[[SkeletonSequence], SkeletonSequence] | None = None,
        processed_dir: str | Path | None = None,
        num_workers: int | None = None,
        force_reload: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._processed_dir = processed_dir
        super().__init__(
            root=None if root is None else str(root), transform=transform, force_reload=force_reload
        )
        self._layout = None if skeleton is None else Skeleton.get(skeleton)
        self.class_names = list(class_names)
        self.num_workers = num_workers
        self.settings = dict(settings or {})
        in_memory = root is None and processed_dir is None
        self.store = self._in_memory() if in_memory else self._on_disk()
        self.skeleton = self._layout_of(self.store.frames.shape[1], "the store")
        Skeleton.register(self.skeleton)  # clips keep only the name
        if not self.class_names:
            self.class_names = [str(label) for label in range(self.store.labels.max() + 1)]

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A worker process that is not forked has only the layouts of the package.
        self.__dict__.update(state)
        for layout in (self._layout, state.get("skeleton")):
            if layout is not None:
                Skeleton.register(layout)

    # what a reader defines

    def raw_files(self) -> Sequence[str]:
        """Raw files in a fixed order, relative to the root so that it may move.

        Any text will do that :meth:`read_raw` understands, such as the name of a zip member.

        Raises:
            FileNotFoundError: If there are none; the message says what was looked for.
        """
        raise NotImplementedError

    def read_raw(self, file: str) -> Iterable[RawClip | str]:
        """The clips of one raw file, and in place of one that is broken a text that says why.

        Runs in another process where there are several workers.

        Raises:
            ValueError: If the file is broken; it is then listed in :attr:`skipped`.
            OSError: If it cannot be read; likewise.
        """
        raise NotImplementedError

    @property
    def store_name(self) -> str:
        """Name of the store's folder in :attr:`processed_dir`."""
        return type(self).__name__.lower()

    # what every dataset offers

    @property
    def labels(self) -> Tensor:
        """Label of each clip, ``[len(self)]`` int64."""
        return torch.from_numpy(self.store.labels[self.indices()])

    @property
    def names(self) -> list[str]:
        """Name of each clip."""
        return self.store.names[self.indices()].tolist()

    @property
    def num_classes(self) -> int:
        """Number of classes of the whole dataset, of which a split has only some."""
        return len(self.class_names)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Raw files that were left out, with the reason of each."""
        return self.store.skipped

    def metadata(self, key: str) -> np.ndarray:
        """One entry of the metadata for each clip, for instance ``metadata("subject")``.

        Raises:
            KeyError: If the dataset has no such metadata.
        """
        if key not in self.store.metadata:
            raise KeyError(f"{self} has metadata {sorted(self.store.metadata)}, not '{key}'")
        return self.store.metadata[key][self.indices()]

    def gather(self, indices: Sequence[int]) -> list[SkeletonSequence]:
        """Several clips, read from the store in one go and transformed.

        Args:
            indices: Positions in this dataset.
        """
        own = self.indices()
        clips = self._read_store([own[int(index)] for index in indices])
        return clips if self.transform is None else [self.transform(clip) for clip in clips]

    __getitems__ = gather

    def get(self, idx: int) -> SkeletonSequence:
        """A clip by its number in the store, not transformed."""
        return self._read_store([idx])[0]

    def len(self) -> int:
        """Number of clips in the store."""
        return len(self.store)

    def _read_store(self, numbers: Sequence[int]) -> list[SkeletonSequence]:
        store, dtype = self.store, torch.get_default_dtype()
        return [
            SkeletonSequence(
                x=bodies.flatten(0, 1).to(dtype),
                num_bodies=bodies.size(0),
                y=int(store.labels[number]),
                skeleton=self.skeleton.name,
                name=str(store.names[number]),
                **{key: column[number].item() for key, column in store.metadata.items()},
            )
            for number, bodies in zip(numbers, store.gather(numbers), strict=True)
        ]

    # making the store

    @property
    def processed_dir(self) -> str:
        """Folder of the store."""
        if self._processed_dir is not None:
            return str(Path(self._processed_dir).expanduser())
        root = Path(self.root)
        processed = root / "processed"
        nearest = processed if processed.is_dir() else root
        if (processed / self.store_name).exists() or _writable(nearest):
            return str(processed)
        digest = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]
        return str(Path(get_home_dir()) / "pyg_fsar" / f"{root.resolve().name}-{digest}")

    def _info(self) -> dict[str, Any]:
        return json.loads(json.dumps({"dataset": type(self).__name__, **self.settings}))

    def _layout_of(self, num_joints: int, what: str) -> Skeleton:
        if self._layout is None and num_joints not in USUAL_LAYOUT:
            raise ValueError(
                f"{what} has {num_joints} joints (axis V of [M, T, V, C]), which no usual layout "
                "has; say which layout it is: skeleton=..."
            )
        layout = self._layout or Skeleton.get(USUAL_LAYOUT[num_joints])
        layout.check_joints(num_joints, what)
        return layout

    def _in_memory(self) -> SkeletonStore:
        collector = ClipCollector(self._info())
        self._collect(collector, self.raw_files())
        store = collector.finish()
        self._warn_of_skipped(store)
        return store

    def _on_disk(self) -> SkeletonStore:
        path = Path(self.processed_dir) / self.store_name
        if path.exists() and not self.force_reload:
            return self._open(path)
        try:
            if not (sources := self.raw_files()):
                raise FileNotFoundError(f"found no raw files in {self.root}")
        except FileNotFoundError as error:
            if Path(self.root).is_dir():
                raise
            folder = Path(self.root).resolve()
            raise FileNotFoundError(f"there is no folder {folder}: {error}") from error
        if not path.is_relative_to(self.root) and self._processed_dir is None:
            warnings.warn(f"{self.root} cannot be written; the store goes to {path}", stacklevel=4)
        with store_lock(path):
            if path.exists() and not self.force_reload:  # another process has made it meanwhile
                return self._open(path)
            resume = not self.force_reload
            with StoreWriter(path, self._info(), sources, resume) as writer:
                self._collect(writer, sources)
                store = writer.finish()
        self._warn_of_skipped(store)
        return store

    def _open(self, path: Path) -> SkeletonStore:
        remove_stale(path)
        store = SkeletonStore.open(path)
        info = self._info()
        made_with = {key: store.info.get(key) for key in info}
        if made_with != info:
            raise ValueError(
                f"the store at {path} was made with {made_with}, but {info} is asked for; pass "
                "force_reload=True to make it anew, or another processed_dir to keep both"
            )
        try:
            unknown = set(self.raw_files()).difference(store.sources.tolist())
        except FileNotFoundError:  # the raw data may be deleted once there is a store
            return store
        if unknown:
            warnings.warn(
                f"{self.root} has {len(unknown)} raw files that the store at {path} does not know, "
                f"e.g. {min(unknown)}; pass force_reload=True to read all of them",
                stacklevel=5,
            )
        return store

    def _collect(self, collector: ClipCollector, sources: Sequence[str]) -> None:
        done = len(collector.sources)
        for source, clips in tqdm(
            zip(sources[done:], self._read(sources[done:]), strict=True),
            desc=f"Reading {type(self).__name__}",
            total=len(sources),
            initial=done,
            unit="file",
            disable=len(sources) == 1,
        ):
            for clip in clips:
                if isinstance(clip, RawClip):
                    collector.append(clip)
                else:
                    collector.skip(clip)
            collector.commit(source)

    def _read(self, sources: Sequence[str]) -> Iterator[Iterable[RawClip | str]]:
        num_workers = self.num_workers
        if num_workers is None:
            num_workers = min(_num_cores(), len(sources) // FILES_PER_WORKER)
        if num_workers == 0:
            return map(self._read_checked, sources)
        loader = DataLoader(
            _RawFiles(self, sources),
            batch_size=FILES_PER_BATCH,
            num_workers=num_workers,
            collate_fn=_identity,
            generator=torch.Generator(),  # leaves the global generator as it is
        )
        return chain.from_iterable(loader)

    def _read_checked(self, source: str) -> Iterator[RawClip | str]:
        """Clips of a raw file, and instead of one that cannot be used the reason why."""
        try:
            for clip in self.read_raw(source):
                try:
                    yield clip if isinstance(clip, str) else self._check(clip)
                except (ValueError, TypeError) as error:
                    yield str(error)
        except (ValueError, OSError) as error:
            yield str(error) or type(error).__name__

    def _check(self, clip: RawClip) -> RawClip:
        with np.errstate(over="ignore"):  # what float32 cannot hold is reported as infinite
            bodies = np.array(clip.bodies, dtype=np.float32)
        layout = self._layout
        if layout is None and bodies.ndim == 4:
            layout = self._layout_of(bodies.shape[2], f"clip '{clip.name}'")
        SkeletonSequence.from_bodies(bodies, skeleton=layout or "ntu25", name=clip.name)
        if clip.label < 0 or 0 < len(self.class_names) <= clip.label:
            last = f"..{len(self.class_names) - 1}" if self.class_names else " or more"
            raise ValueError(
                f"clip '{clip.name}' has label {clip.label}, but labels are 0{last}; correct the "
                "label, or leave the clip out"
            )
        present = bodies.any(axis=(1, 2, 3))
        if not present.any():
            raise ValueError(f"clip '{clip.name}' is all zero, there is no body; leave it out")
        return replace(clip, bodies=bodies[present])

    def _warn_of_skipped(self, store: SkeletonStore) -> None:
        if store.skipped:
            where = "" if store.path is None else f" and {store.path / SKIPPED}"
            file, reason = store.skipped[0]
            warnings.warn(
                f"{len(store.skipped)} raw files or clips of {len(store.sources)} files were left "
                f"out, the first being {file}: {reason}. All are listed in dataset.skipped{where}; "
                "mend or replace them and pass force_reload=True to have them read",
                stacklevel=5,
            )

    def _select(self, keep: np.ndarray) -> None:
        """Keep some clips of the store, given by a mask over all of them."""
        self._indices = np.flatnonzero(keep).tolist()
        if not self._indices:
            held = np.unique(self.store.labels).tolist()
            warnings.warn(f"{self!r} is empty: the store holds the classes {held}", stacklevel=3)


class _RawFiles(torch.utils.data.Dataset):
    """Raw files as items, so that :class:`~torch.utils.data.DataLoader` reads them in parallel."""

    def __init__(self, dataset: SkeletonDataset, sources: Sequence[str]) -> None:
        self.dataset = dataset
        self.sources = sources

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> list[RawClip | str]:
        return list(self.dataset._read_checked(self.sources[index]))


def _identity(item: Any) -> Any:
    return item


def _num_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # counts what a job was granted, where the system can
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _writable(folder: Path) -> bool:
    # A folder without any write permission is meant to stay as it is, even if an administrator,
    # to whom `os.access` grants everything, reads it.
    return os.access(folder, os.W_OK) and bool(folder.stat().st_mode & 0o222)
