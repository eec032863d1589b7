"""The array files that other projects distribute: padded ``.npy``, and ``.npz`` of flat frames."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyg_fsar.datasets.checks import as_label
from pyg_fsar.datasets.npy_file import load_npy, npz_rows, npz_shapes
from pyg_fsar.datasets.storage import RawClip
from pyg_fsar.saving.safe_pickle import load_pickle

__all__ = ["ArrayFiles", "FlatFile", "PaddedFiles"]


class ArrayFiles:
    """Files that hold all clips of a dataset.

    Args:
        data: The file with the coordinates.
        others: Further files, or None for one that is not given.
    """

    def __init__(self, data: str | Path, **others: str | Path | None) -> None:
        self.data = Path(data).expanduser()
        self.others = {
            key: None if path is None else Path(path).expanduser() for key, path in others.items()
        }
        self.settings = {
            "data": self.data.name,
            **{key: path and path.name for key, path in self.others.items()},
        }

    @property
    def names(self) -> list[str]:
        """All files that are there, relative to the folder of the data."""
        files = [self.data, *(path for path in self.others.values() if path is not None)]
        return [os.path.relpath(path, self.data.parent) for path in files if path.exists()]

    def check(self) -> None:
        """Refuse files that cannot be read.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file is damaged, or they do not fit each other.
        """
        raise NotImplementedError

    def clips(self) -> Iterator[RawClip | str]:
        """All clips, and in place of one that cannot be read the reason."""
        raise NotImplementedError


class PaddedFiles(ArrayFiles):
    """Clips of an ``(N, C, T, V, M)`` file, a label file, and a file of true lengths."""

    def __init__(self, data: str | Path, label: str | Path, frame: str | Path | None) -> None:
        super().__init__(data, label=label, frame=frame)

    def check(self) -> None:
        """Read all but the coordinates, which are mapped into memory."""
        self._clips = load_npy(self.data)
        if self._clips.ndim != 5:
            raise ValueError(
                f"{self.data} must have the shape (N, C, T, V, M), not {self._clips.shape}"
            )
        label, frame = self.others["label"], self.others["frame"]
        assert label is not None
        self._names, self._labels = _load_labels(label)
        self._lengths = None if frame is None else load_npy(frame).reshape(-1)
        for path, entries, what in (
            (label, self._labels, "labels"),
            (frame, self._lengths, "entries"),
        ):
            if entries is not None and len(entries) != len(self._clips):
                raise ValueError(
                    f"{path} has {len(entries)} {what} for the {len(self._clips)} clips of "
                    f"{self.data}"
                )
        if self._names is not None and len(self._names) != len(self._clips):
            raise ValueError(
                f"{label} has {len(self._names)} names for the {len(self._clips)} clips of "
                f"{self.data}"
            )

    def clips(self) -> Iterator[RawClip | str]:
        """All clips without their padding."""
        for number, padded in enumerate(self._clips):
            name = str(number if self._names is None else self._names[number])
            bodies = padded.transpose(3, 1, 2, 0)
            length = _num_frames(bodies) if self._lengths is None else self._lengths[number]
            if not (float(length).is_integer() and 0 <= length <= bodies.shape[1]) or (
                length == 0 and self._lengths is not None
            ):
                yield f"clip '{name}': of {bodies.shape[1]} frames {length} are said to count"
                continue
            yield RawClip(name, bodies[:, : int(length)], self._labels[number])


class FlatFile(ArrayFiles):
    """Clips of an ``.npz`` file with ``x_train [N, T, M * V * C]``, ``y_train`` and so on."""

    def __init__(self, data: str | Path, num_joints: int, num_channels: int) -> None:
        super().__init__(data)
        self._frame_shape = num_joints, num_channels

    def check(self) -> None:
        """Look at the shapes of the arrays."""
        shapes = npz_shapes(self.data)
        self.parts = [key[2:] for key in shapes if key[:2] == "x_" and f"y_{key[2:]}" in shapes]
        if not self.parts:
            raise ValueError(
                f"{self.data} must have arrays 'x_train' and 'y_train', or 'x_test' and 'y_test'; "
                f"it has {', '.join(list(shapes)[:8])}"
            )
        V, C = self._frame_shape
        for part in self.parts:
            x, y = shapes[f"x_{part}"], shapes[f"y_{part}"]
            if len(x) != 3 or x[2] % (V * C) or len(y) not in (1, 2) or x[0] != y[0]:
                raise ValueError(
                    f"{self.data}: x_{part} {x} and y_{part} {y} must be [N, T, M * {V} * {C}] and "
                    "[N] or one-hot [N, classes]; say which layout of joints it is: skeleton=..."
                )

    def clips(self) -> Iterator[RawClip | str]:
        """All clips of all parts without their padding."""
        for part in self.parts:
            rows = zip(
                npz_rows(self.data, f"x_{part}"), npz_rows(self.data, f"y_{part}"), strict=True
            )
            for number, (x, y) in enumerate(rows):
                name = f"{part}_{number}"
                if y.ndim and (np.count_nonzero(y) != 1 or y.max() != 1):
                    yield f"clip '{name}': its label is not one-hot"
                    continue
                bodies = x.reshape(len(x), -1, *self._frame_shape).swapaxes(0, 1)
                label = int(y.argmax()) if y.ndim else y.item()
                yield RawClip(name, bodies[:, : _num_frames(bodies)], label, {"part": part})


def _num_frames(bodies: np.ndarray) -> int:
    """Number of frames up to the last that is not zero."""
    moving = np.flatnonzero(bodies.any(axis=(0, 2, 3)))
    return int(moving[-1]) + 1 if len(moving) else 0


def _load_labels(path: Path) -> tuple[Sequence[Any] | None, Sequence[int]]:
    """Names, if there are any, and labels."""
    is_pickle = path.suffix.lower() in (".pkl", ".pickle")
    content = load_pickle(path) if is_pickle else load_npy(path)
    names = None
    if isinstance(content, tuple | list) and len(content) == 2 and not np.isscalar(content[0]):
        names, content = content
    try:
        labels = np.asarray(content).reshape(-1)
        if labels.dtype.kind not in "biuf" or not (labels == labels.astype(np.int64)).all():
            raise ValueError(f"holds {labels.dtype}")
        return names, [as_label(label, f"{path}: clip {n}") for n, label in enumerate(labels)]
    except (TypeError, ValueError) as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path} must hold whole numbers, one for each clip ({error})") from error
