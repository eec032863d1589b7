"""What data sets have in common whose splits are classes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.datasets.base import SkeletonDataset
from pyg_fsar.datasets.splits import class_split

__all__ = ["ClassSplitDataset"]


class ClassSplitDataset(SkeletonDataset):
    r"""Base class of readers of one layout whose few-shot splits are classes of one store.

    A subclass defines :meth:`~pyg_fsar.datasets.SkeletonDataset.raw_files` and
    :meth:`~pyg_fsar.datasets.SkeletonDataset.read_raw`, its layout, and its classes: by the class
    attributes below or, where the raw files tell them, by :meth:`list_classes`,
    :meth:`split_classes` and :meth:`settings_of`.

    Args:
        root: Folder of the raw data.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        transform: Applied to each clip on access.
        processed_dir: As for :class:`~pyg_fsar.datasets.SkeletonDataset`.
        num_workers: Likewise.
        force_reload: Likewise.

    Attributes:
        LAYOUT: Registered name of the layout.
        CLASS_NAMES: Names of the classes in order of the labels.
        VAL_CLASSES: Labels of the validation split.
        TEST_CLASSES: Labels of the test split.

    Raises:
        FileNotFoundError: If ``root`` has no raw files.
        ValueError: If the split is unknown.

    Example:
        >>> class Gestures(ClassSplitDataset):
        ...     LAYOUT, CLASS_NAMES = "coco17", ("wave", "nod", "bow")
        ...     VAL_CLASSES, TEST_CLASSES = (1,), (2,)
    """

    LAYOUT: ClassVar[str]
    CLASS_NAMES: ClassVar[tuple[str, ...]] = ()
    VAL_CLASSES: ClassVar[tuple[int, ...]] = ()
    TEST_CLASSES: ClassVar[tuple[int, ...]] = ()

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        transform: Callable[[SkeletonSequence], SkeletonSequence] | None = None,
        processed_dir: str | Path | None = None,
        num_workers: int | None = None,
        force_reload: bool = False,
    ) -> None:
        self.root = str(root)  # which `list_classes` may need
        names = self.list_classes()
        val, test = self.split_classes(len(names))
        classes = class_split(split, range(len(names)), val, test)
        super().__init__(
            root, self.LAYOUT, names, transform, processed_dir, num_workers, force_reload,
            self.settings_of(names),
        )  # fmt: skip
        self.select(np.isin(self.store.labels, classes))

    def list_classes(self) -> Sequence[str]:
        """Names of the classes in order of the labels."""
        return self.CLASS_NAMES

    @classmethod
    def split_classes(cls, num_classes: int) -> tuple[Collection[int], Collection[int]]:
        """Labels for validation and for the test, of so many classes."""
        return cls.VAL_CLASSES, cls.TEST_CLASSES

    def settings_of(self, names: Sequence[str]) -> dict[str, Any] | None:
        """What labels depend on apart from the files, of classes of these names."""
        return None
