"""Clips that the user has as arrays, in memory or in files."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.data.texts import shorten
from pyg_fsar.datasets.array_files import ArrayFiles, FlatFile, PaddedFiles
from pyg_fsar.datasets.base import SkeletonDataset
from pyg_fsar.datasets.checks import as_label
from pyg_fsar.datasets.storage import RawClip, SkeletonStore
from pyg_fsar.skeleton import Skeleton

__all__ = ["SkeletonArrays"]


class SkeletonArrays(SkeletonDataset):
    r"""A dataset of arrays.

    Args:
        clips: One array per clip, or one array of all. Joints that a NumPy mask hides are missing.
        labels: Class label of each clip, whole numbers from 0.
        skeleton: Layout of the joints; by default the usual one for their number and channels.
        names: Name of each clip; by default its position.
        class_names: Name of each class, in order of the labels or by label; by default its label.
        transform: Applied to each clip on access.
        skip_invalid: Leave out clips that cannot be used and list them in :attr:`skipped`, instead
            of an error. Positions then differ from those in ``clips``.
        **kwargs: As for :class:`~pyg_fsar.datasets.SkeletonDataset`. A store in ``processed_dir``
            is refused for other clips, labels or names than it was made from.

    Shapes:
        - **clips:** each ``[M, T, V, C]``; their lengths and numbers of bodies may differ

    Raises:
        ValueError: If the numbers of clips, labels and names differ, if labels are no whole
            numbers, or for what :meth:`~pyg_fsar.data.SkeletonSequence.from_bodies` refuses.

    Example:
        >>> clips = [np.random.randn(1, 30, 25, 3), np.random.randn(2, 45, 25, 3)]
        >>> SkeletonArrays(clips, labels=[0, 1])
        SkeletonArrays(2)
    """

    def __init__(
        self,
        clips: Sequence[np.ndarray | Tensor] | np.ndarray | Tensor | ArrayFiles,
        labels: Sequence[int] | np.ndarray | Tensor = (),
        skeleton: str | Skeleton | None = None,
        names: Sequence[str] | None = None,
        class_names: Sequence[str] | Mapping[int, str] = (),
        transform: Callable[[SkeletonSequence], SkeletonSequence] | None = None,
        skip_invalid: bool = False,
        processed_dir: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(clips, ArrayFiles):
            self._files: ArrayFiles | None = clips
            settings: Mapping[str, Any] = clips.settings
        else:
            self._files = None
            self._raw: tuple[Sequence[Any], list[int], list[str]] = _check_arrays(
                clips, labels, names
            )
            # Only a store on disk outlives the arrays and may meet other ones.
            settings = {} if processed_dir is None else {"arrays": _digest(*self._raw)}
        self._skip_invalid = skip_invalid
        super().__init__(
            skeleton=skeleton,
            class_names=class_names,
            transform=transform,
            processed_dir=processed_dir,
            num_workers=0,
            settings=settings,
            **kwargs,
        )
        # It is in the store now; workers of a loader must not get it a second time.
        self._raw, self._files = ((), [], []), None

    @classmethod
    def from_npy(
        cls,
        data: str | Path,
        label: str | Path | None = None,
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
                clips, without their padding, are kept in memory. Once there is a store the files
                may be deleted.
            **kwargs: As for :class:`SkeletonArrays`.

        Shapes:
            - **data:** ``[N, C, T, V, M]``
            - **label, frame:** ``[N]``

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file is broken, or they do not fit each other.
        """
        if label is None:
            if Path(data).suffix.lower() == ".npz":
                return cls.from_npz(data, classes=classes, processed_dir=processed_dir, **kwargs)
            raise ValueError(f"give the label file of {data} too: label=...")
        files = PaddedFiles(data, label, frame)
        dataset = cls(files, skip_invalid=True, processed_dir=processed_dir, **kwargs)
        if classes is not None:
            dataset.select(np.isin(dataset.store.labels, list(classes)))
        return dataset

    @classmethod
    def from_npz(
        cls,
        path: str | Path,
        split: str | None = None,
        classes: Sequence[int] | None = None,
        skeleton: str | Skeleton = "ntu25",
        processed_dir: str | Path | None = None,
        **kwargs: Any,
    ) -> SkeletonArrays:
        """Read the ``.npz`` files that users of CTR-GCN have, such as ``NTU60_CS.npz``.

        A file has ``x_train`` and ``y_train``, ``x_test`` and ``y_test``. One clip at a time is
        read into memory. The padding is cut off as in :meth:`from_npy`.

        Args:
            path: The file.
            split: ``"train"`` or ``"test"``, the parts of the file; by default both. They are
                parts of every class, not a few-shot split: choose classes for that.
            classes: Labels to keep; by default all.
            skeleton: Layout of the joints.
            processed_dir: As for :meth:`from_npy`.
            **kwargs: As for :class:`SkeletonArrays`.

        Shapes:
            - **x:** ``[N, T, M * V * C]``, 150 for two bodies of 25 joints in three dimensions
            - **y:** one-hot ``[N, classes]``, or labels ``[N]``

        Raises:
            FileNotFoundError: If the file is missing.
            ValueError: If it is broken, or has no such split.
        """
        layout = Skeleton.get(skeleton)
        files = FlatFile(path, layout.num_joints, layout.dims)
        dataset = cls(
            files, skeleton=layout, skip_invalid=True, processed_dir=processed_dir, **kwargs
        )
        part = dataset.store.metadata["part"]
        if split not in (None, *part):
            raise ValueError(f"{path} has no split '{split}'; it has {np.unique(part).tolist()}")
        keep = np.full(len(part), True) if split is None else part == split
        if classes is not None:
            keep &= np.isin(dataset.store.labels, list(classes))
        dataset.select(keep)
        return dataset

    @property
    def store_name(self) -> str:
        """Name of the data file, since one folder may hold several stores."""
        return Path(self.settings.get("data", "clips")).stem

    @property
    def input_root(self) -> Path:
        """Folder of the data file, if there is one."""
        return Path() if self._files is None else self._files.data.parent

    def raw_files(self) -> list[str]:
        """The data file, if there is one; it is checked."""
        if self._files is not None:
            self._files.check()
        return [self.settings.get("data", "clips")]

    def input_files(self) -> list[str]:
        """The data file."""
        return [] if self._files is None else self._files.names[:1]

    def shared_files(self) -> list[str]:
        """All files, since every clip depends on each."""
        return [] if self._files is None else self._files.names

    def read_raw(self, file: str) -> Iterator[RawClip | str]:
        """All clips."""
        if self._files is not None:
            yield from self._files.clips()
            return
        for clip, label, name in zip(*self._raw, strict=True):
            try:
                yield RawClip(name, _as_array(clip), label)
            except (TypeError, ValueError) as error:  # such as lists of unequal length
                yield f"clip '{name}': {error}"

    def _warn_of_skipped(self, store: SkeletonStore) -> None:
        if store.skipped and not self._skip_invalid:
            raise ValueError(shorten("; ".join(reason for _, reason in store.skipped[:3]), 450))
        super()._warn_of_skipped(store)


def _check_arrays(
    clips: Any, labels: Any, names: Sequence[str] | None
) -> tuple[Sequence[Any], list[int], list[str]]:
    """Clips, labels and names, if they fit each other."""
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
            f"labels must be numbers from 0, got '{shorten(text, 60)}'; give both class_names, "
            "labels = numpy.unique(labels, return_inverse=True)"
        )
    names = [str(name) for name in names]
    checked = [as_label(label, f"clip '{name}'") for label, name in zip(labels, names, strict=True)]
    return clips, checked, names


def _digest(clips: Sequence[Any], labels: list[int], names: list[str]) -> int:
    """CRC-32 of arrays, their labels and names."""
    digest = zlib.crc32(repr((labels, names)).encode(errors="surrogatepass"))
    for clip in clips:
        array = _as_array(clip)
        if isinstance(array, np.ma.MaskedArray):
            digest = zlib.crc32(np.ma.getmaskarray(array).tobytes(), digest)
        digest = zlib.crc32(repr((array.shape, array.dtype.str)).encode(), digest)
        content = repr(array).encode() if array.dtype.hasobject else np.asarray(array).tobytes()
        digest = zlib.crc32(content, digest)
    return digest


def _as_array(clip: Any) -> np.ndarray:
    """A clip as an array, a masked one as it is."""
    if isinstance(clip, Tensor):
        return clip.detach().cpu().numpy()
    return clip if isinstance(clip, np.ma.MaskedArray) else np.asarray(clip)
