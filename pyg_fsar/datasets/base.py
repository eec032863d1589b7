"""What all datasets share: reading, checking, storing and selecting clips."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from pyg_fsar.data.texts import shorten
from pyg_fsar.datasets.checks import check_clip, name_classes
from pyg_fsar.datasets.inputs import add_digests, compare_inputs, fingerprint, take_stamps
from pyg_fsar.datasets.storage import (
    SKIPPED,
    RawClip,
    SkeletonStore,
    is_outdated,
    remove_stale,
    store_lock,
)
from pyg_fsar.datasets.writing import ClipCollector, StoreWriter
from pyg_fsar.skeleton import Skeleton

__all__ = ["SkeletonDataset"]

# Below this, starting another process takes longer than reading its share of the files.
FILES_PER_WORKER = 64
# Files per message of a worker: sending a message costs about as much as reading a small file.
FILES_PER_BATCH = 16

# What a broken file may raise while it is read. Other errors are mistakes of a reader.
BROKEN = (ValueError, OSError, EOFError, OverflowError, RecursionError, MemoryError)


class SkeletonDataset(Dataset):
    r"""Base of all datasets of skeleton clips.

    A subclass lists the raw files (:meth:`raw_files`) and reads the clips of one of them
    (:meth:`read_raw`). This class reads the files in parallel, skips broken ones and records the
    reason, and writes the clips to a :class:`~pyg_fsar.datasets.SkeletonStore`, which later runs
    map into memory. Bodies that are zero in all frames are dropped. An interrupted run is resumed,
    and several processes may start at once: one makes the store, the others wait for it.

    Indexing works as in any PyG dataset; views share one store.

    Args:
        root: Folder of the raw data. With neither this nor ``processed_dir``, clips are read anew
            each time and kept in memory.
        skeleton: Layout of the joints, or its registered name; by default the usual one for the
            number of joints and channels found.
        class_names: Name of each class, as a list in order of the labels or a dictionary by label;
            by default the numbers themselves.
        transform: Applied to each clip on access.
        processed_dir: Folder of the store. By default ``root/processed`` or, where that cannot be
            written, a folder in PyG's cache (``$PYG_HOME``).
        num_workers: Number of processes that read raw files, ``0`` for this one; by default the
            number of available cores if there are many files.
        force_reload: Make the store anew.
        settings: What :meth:`read_raw` depends on apart from the file, as JSON values.

    Raises:
        FileNotFoundError: If there is no raw data.
        ValueError: If no raw file holds a usable clip, or an existing store is damaged or was made
            from other raw files, settings or class names. ``force_reload=True`` makes it anew.
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
        class_names: Sequence[str] | Mapping[int, str] = (),
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
        self.class_names = name_classes(class_names)
        self.num_workers = num_workers
        self.settings = dict(settings or {})
        in_memory = root is None and processed_dir is None
        self.store = self._in_memory() if in_memory else self._on_disk()
        try:
            self.skeleton = self._layout or Skeleton.get(str(self.store.info.get("skeleton")))
            self.skeleton.check_joints(self.store.frames.shape[1], "a clip in it")
            Skeleton.register(self.skeleton)  # clips keep only the name
            if not self.class_names:
                self.class_names = name_classes(self.store.info.get("class_names") or ())
        except (ValueError, TypeError) as error:
            where = self.store.path or "memory"
            raise ValueError(f"the store in {where} cannot be used: {error}") from error
        self.class_names = self.class_names or [
            str(label) for label in range(self.store.labels.max() + 1)
        ]

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A worker process that is not forked has only the layouts of the package.
        self.__dict__.update(state)
        for layout in (self._layout, state.get("skeleton")):
            if layout is not None:
                Skeleton.register(layout)

    # what a reader defines

    def raw_files(self) -> Sequence[str]:
        """Raw files in a fixed order, relative to the root so that it may be moved.

        Any text that :meth:`read_raw` understands is allowed, such as the name of a zip member.

        Raises:
            FileNotFoundError: If there are none; the message says what was looked for.
        """
        raise NotImplementedError

    def read_raw(self, file: str) -> Iterable[RawClip | str]:
        """The clips of one raw file; for a broken clip, a text with the reason instead.

        Runs in another process where there are several workers.

        Raises:
            ValueError: If the file is broken; it is then listed in :attr:`skipped`.
            OSError: If it cannot be read; likewise.
        """
        raise NotImplementedError

    def input_files(self) -> Iterable[str]:
        """Files and folders under the root in which the raw files lie.

        By default the raw files; to be overridden with :meth:`input_of` where several lie in one
        archive. A store remembers sizes and times of those that are there.

        Raises:
            FileNotFoundError: If there are none.
        """
        return self.raw_files()

    def input_of(self, file: str) -> str:
        """Which of :meth:`input_files` a raw file lies in."""
        return file

    def shared_files(self) -> Iterable[str]:
        """Files that all clips depend on, such as lists of labels, relative to the root."""
        return ()

    @property
    def input_root(self) -> Path:
        """Folder to which names of input files are relative, the root."""
        return Path(self.root or ".")

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
        """Number of classes of the whole dataset; a split has a part of them."""
        return len(self.class_names)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Raw files or clips that were skipped, each with the reason."""
        return self.store.skipped

    def metadata(self, key: str) -> np.ndarray:
        """One entry of the metadata for each clip, for instance ``metadata("subject")``.

        Raises:
            KeyError: If the dataset has no such metadata.
        """
        if key not in self.store.metadata:
            raise KeyError(f"{self} has metadata {sorted(self.store.metadata)}, not '{key}'")
        return self.store.metadata[key][self.indices()]

    def select(self, keep: np.ndarray) -> None:
        """Keep only some clips of the store, for the constructor of a reader with a split.

        Args:
            keep: Mask over all clips of :attr:`store`.

        Shapes:
            - **keep:** bool ``[len(self.store)]``
        """
        self._indices = np.flatnonzero(keep).tolist()
        if not self._indices:
            held = np.unique(self.store.labels).tolist()
            warnings.warn(
                f"{self!r} is empty: the store holds the classes {shorten(held)}", stacklevel=3
            )

    def verify(self) -> None:
        """Compare all that the store holds with its checksums, about a second per GiB.

        Damage is otherwise found when a clip is first read; small stores are verified when opened.

        Raises:
            ValueError: If the store is damaged; the message names the clip and the cure.
        """
        self.store.inputs()
        self.store.verify()

    def gather(self, indices: Sequence[int]) -> list[SkeletonSequence]:
        """Several clips, read from the store at once and transformed.

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
        if self._is_made(processed / self.store_name) or _writable(nearest):
            return str(processed)
        digest = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]
        return str(Path(get_home_dir()) / "pyg_fsar" / f"{root.resolve().name}-{digest}")

    def _info(self) -> dict[str, Any]:
        return json.loads(json.dumps({"dataset": type(self).__name__, **self.settings}))

    def _in_memory(self) -> SkeletonStore:
        collector = ClipCollector({**self._info(), "class_names": self.class_names})
        self._collect(collector, self.raw_files())
        store = collector.finish()
        self._warn_of_skipped(store)
        return store

    def _on_disk(self) -> SkeletonStore:
        path = Path(self.processed_dir) / self.store_name
        if self._is_made(path):
            return self._open(path)
        try:
            if not (sources := self.raw_files()):
                raise FileNotFoundError(f"found no raw files in {self.root}")
        except FileNotFoundError as error:
            if path.exists() and not self.force_reload:
                raise FileNotFoundError(
                    f"the store at {path} is of an older version of pyg_fsar and cannot be made "
                    f"anew: {shorten(error, 200)}"
                ) from error
            if self.input_root.is_dir():
                raise
            folder = self.input_root.resolve()
            raise FileNotFoundError(f"there is no folder {folder}: {error}") from error
        if self._processed_dir is None and not path.is_relative_to(self.root):
            warnings.warn(f"{self.root} cannot be written; the store goes to {path}", stacklevel=4)
        with store_lock(path):
            if self._is_made(path):  # another process has made it meanwhile
                return self._open(path)
            root = self.input_root
            shared = add_digests(root, dict(take_stamps(root, self.shared_files())))
            inputs = dict(take_stamps(root, map(self.input_of, sources)))
            info = {**self._info(), "class_names": self.class_names}
            stamps = [inputs.get(self.input_of(source)) for source in sources]
            with StoreWriter(path, info, sources, not self.force_reload, stamps, shared) as writer:
                self._collect(writer, sources)
                # Some shared files may be known only now that the raw files have been read.
                inputs |= dict(take_stamps(root, self.shared_files())) | shared
                store = writer.finish(add_digests(root, inputs))
        self._warn_of_skipped(store)
        return store

    def _is_made(self, path: Path) -> bool:
        return path.exists() and not self.force_reload and not is_outdated(path)

    def _open(self, path: Path) -> SkeletonStore:
        remove_stale(path)
        store = SkeletonStore.open(path)
        cure = "pass force_reload=True to make it anew, or another processed_dir to keep both"
        info = self._info()
        made_with = {key: store.info.get(key) for key in info}
        if made_with != info:
            differing = [key for key in info if made_with[key] != info[key]]
            raise ValueError(
                f"the store at {path} was made with other settings, "
                + ", ".join(
                    f"{key} {shorten(made_with[key], 50)} instead of {shorten(info[key], 50)}"
                    for key in differing[:2]
                )
                + f"; {cure}"
            )
        names = store.info.get("class_names")
        if self.class_names and (
            self.class_names != names if names else len(self.class_names) <= store.labels.max()
        ):
            raise ValueError(f"the store at {path} was made with other class_names; {cure}")
        self._compare_inputs(store, cure)
        return store

    def _compare_inputs(self, store: SkeletonStore, cure: str) -> None:
        root, shared = self.input_root, list(self.shared_files())
        try:
            files = [*self.input_files(), *shared]
        except FileNotFoundError:
            files = shared
        if fingerprint(take_stamps(root, files)) == store.info.get("fingerprint"):
            return
        if now := dict(take_stamps(root, files)):  # else the raw data was deleted, as it may be
            made = f"the store at {store.path} was made"
            for note in compare_inputs(root, store.inputs(), now, shared, made, cure):
                warnings.warn(note, stacklevel=6)

    def _collect(self, collector: ClipCollector, sources: Sequence[str]) -> None:
        done = len(collector.sources)
        for source, clips in tqdm(
            zip(sources[done:], self._read(sources[done:]), strict=True),
            desc=f"Reading {type(self).__name__}",
            total=len(sources),
            initial=done,
            unit="file",
            # Otherwise tqdm's own switch, TQDM_DISABLE, decides.
            **({"disable": True} if len(sources) == 1 else {}),
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
        """Clips of a raw file, checked; for one that cannot be used, the reason instead."""
        layout, num_classes = self._layout, len(self.class_names) or None
        try:
            for clip in self.read_raw(source):
                try:
                    yield (clip if isinstance(clip, str) else check_clip(clip, layout, num_classes))
                except (*BROKEN, TypeError) as error:
                    yield shorten(error, 300)
        except BROKEN as error:
            yield shorten(error, 300) or type(error).__name__

    def _warn_of_skipped(self, store: SkeletonStore) -> None:
        if store.skipped:
            where = "" if store.path is None else f" and {store.path / SKIPPED}"
            file, reason = store.skipped[0]
            warnings.warn(
                f"{len(store.skipped)} raw files or clips of {len(store.sources)} files were left "
                f"out, the first being {shorten(file, 60)}: {shorten(reason, 160)}. All are listed "
                f"in dataset.skipped{where}; mend or replace them and pass force_reload=True to "
                "have them read",
                stacklevel=5,
            )


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
