"""Clips that the user has as arrays, in memory or in files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.datasets.base import SkeletonDataset
from pyg_fsar.datasets.safe_pickle import load_pickle
from pyg_fsar.datasets.storage import RawClip, SkeletonStore
from pyg_fsar.skeleton import Skeleton

__all__ = ["SkeletonArrays"]


class SkeletonArrays(SkeletonDataset):
    r"""A dataset of arrays.

    Args:
        clips: One array per clip, or one array of all.
        labels: Class label of each clip, from 0.
        skeleton: Layout of the joints; by default the usual one for their number.
        names: Name of each clip; by default its position.
        class_names: Name of each class; by default its label.
        transform: Applied to each clip on access.
        skip_invalid: Leave out clips that cannot be used and list them in :attr:`skipped`, instead
            of an error. Positions then differ from those in ``clips``.
        **kwargs: As for :class:`~pyg_fsar.datasets.SkeletonDataset`.

    Shapes:
        - **clips:** each ``[M, T, V, C]``; their lengths and numbers of bodies may differ

    Raises:
        ValueError: If the numbers of clips, labels and names differ, if labels are texts, or for
            what :meth:`~pyg_fsar.data.SkeletonSequence.from_bodies` refuses.

    Example:
        >>> clips = [np.random.randn(1, 30, 25, 3), np.random.randn(2, 45, 25, 3)]
        >>> SkeletonArrays(clips, labels=[0, 1])
        SkeletonArrays(2)
    """

    def __init__(
        self,
        clips: Sequence[np.ndarray | Tensor] | np.ndarray | Tensor | _PaddedClips,
        labels: Sequence[int] | np.ndarray | Tensor,
        skeleton: str | Skeleton | None = None,
        names: Sequence[str] | None = None,
        class_names: Sequence[str] = (),
        transform: Callable[[SkeletonSequence], SkeletonSequence] | None = None,
        skip_invalid: bool = False,
        **kwargs: Any,
    ) -> None:
        if not len(clips):
            raise ValueError("there is no clip; give at least one array [M, T, V, C]")
        if names is None:
            names = [str(number) for number in range(len(clips))]
        if not len(clips) == len(labels) == len(names):
            raise ValueError(
                f"{len(clips)} clips do not fit {len(labels)} labels and {len(names)} names"
            )
        if text := next((label for label in labels if isinstance(label, str)), None):
            raise ValueError(
                f"labels must be numbers from 0, got '{text}'; give both class_names, labels = "
                "numpy.unique(labels, return_inverse=True)"
            )
        self._raw = clips, labels, names
        self._skip_invalid = skip_invalid
        super().__init__(
            skeleton=skeleton, class_names=class_names, transform=transform, num_workers=0, **kwargs
        )
        del self._raw  # it is in the store now; loader workers must not get it a second time

    @classmethod
    def from_npy(
        cls,
        data: str | Path,
        label: str | Path,
        frame: str | Path | None = None,
        classes: Sequence[int] | None = None,
        processed_dir: str | Path | None = None,
        **kwargs: Any,
    ) -> SkeletonArrays:
        """Read the padded files that users of ST-GCN and of DASTM have.

        The padding is cut off: zero frames at the end, and bodies that are zero throughout. Clips
        of which nothing is left are listed in :attr:`skipped`.

        Args:
            data: ``*_data.npy``; it is not read into memory as a whole.
            label: ``*_label.npy``, or ``*_label.pkl`` with labels or ``(names, labels)``, of which
                no code is run.
            frame: ``*_frame.npy``, the true number of frames of each clip; by default all up to
                the last that is not zero.
            classes: Labels to keep; by default all.
            processed_dir: Folder for a store on disk, worthwhile for large files. By default the
                clips, without their padding, are kept in memory.
            **kwargs: As for :class:`SkeletonArrays`.

        Shapes:
            - **data:** ``[N, C, T, V, M]``
            - **label, frame:** ``[N]``

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file is broken, or they do not fit each other.
        """
        data = Path(data)
        clips = _PaddedClips(data, frame)
        names, labels = _load_labels(Path(label))
        if len(labels) != len(clips):
            raise ValueError(
                f"{label} has {len(labels)} labels for the {len(clips)} clips of {data}"
            )
        stat = data.stat()
        dataset = cls(
            clips,
            labels,
            names=names,
            skip_invalid=True,
            processed_dir=processed_dir,
            settings={"data": data.name, "stat": [stat.st_size, stat.st_mtime_ns]},
            **kwargs,
        )
        if classes is not None:
            dataset.select(np.isin(dataset.store.labels, list(classes)))
        return dataset

    @property
    def store_name(self) -> str:
        """Name of the data file, since one folder may hold several stores."""
        return Path(*self.raw_files()).stem

    def raw_files(self) -> list[str]:
        """The data file, if there is one."""
        return [self.settings.get("data", "clips")]

    def read_raw(self, file: str) -> Iterator[RawClip | str]:
        """All clips."""
        clips, labels, names = self._raw
        for number, (label, name) in enumerate(zip(labels, names, strict=True)):
            try:
                yield RawClip(str(name), np.asarray(clips[number]), int(label))
            except ValueError as error:
                yield f"clip '{name}': {error}"

    def _warn_of_skipped(self, store: SkeletonStore) -> None:
        if store.skipped and not self._skip_invalid:
            raise ValueError("; ".join(reason for _, reason in store.skipped))
        super()._warn_of_skipped(store)


class _PaddedClips:
    """Clips of an ``(N, C, T, V, M)`` file, without their padding."""

    def __init__(self, data: Path, frame: str | Path | None) -> None:
        self.data = _load_npy(data)
        if self.data.ndim != 5:
            raise ValueError(f"{data} must have the shape (N, C, T, V, M), not {self.data.shape}")
        self.lengths = None if frame is None else _load_npy(Path(frame)).reshape(-1)
        if self.lengths is not None and len(self.lengths) != len(self.data):
            raise ValueError(
                f"{frame} has {len(self.lengths)} entries for the {len(self.data)} clips of {data}"
            )

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, number: int) -> np.ndarray:
        bodies = self.data[number].transpose(3, 1, 2, 0)
        if self.lengths is None:
            moving = np.flatnonzero(bodies.any(axis=(0, 2, 3)))
            length = moving[-1] + 1 if len(moving) else 0
        else:
            length = int(self.lengths[number])
            if not 0 < length <= bodies.shape[1]:
                raise ValueError(f"it has {bodies.shape[1]} frames, but {length} are said to count")
        return bodies[:, :length]


def _load_npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is not a whole .npy file of numbers ({error})") from error


def _load_labels(path: Path) -> tuple[Sequence[str] | None, np.ndarray]:
    content = load_pickle(path) if path.suffix in (".pkl", ".pickle") else _load_npy(path)
    names = None
    if isinstance(content, tuple | list) and len(content) == 2 and not np.isscalar(content[0]):
        names, content = content
    labels = np.asarray(content).reshape(-1)
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{path} must hold whole numbers, not {labels.dtype}")
    return names, labels
