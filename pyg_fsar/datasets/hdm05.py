"""HDM05: optical motion capture, cut into actions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pyg_fsar.datasets.class_split_dataset import ClassSplitDataset
from pyg_fsar.datasets.storage import RawClip
from pyg_fsar.formats import read_clip

__all__ = ["HDM05"]

FILE_NAME = re.compile(r"HDM_([a-z]{1,8})_(.+)_(\d{1,6})_(\d{1,4})\.amc", re.IGNORECASE)


class HDM05(ClassSplitDataset):
    r"""Cut motions of "Documentation Mocap Database HDM05" (University of Bonn, 2007).

    Clips of one body with 31 joints in metres, 120 frames a second, by 5 people. The classes are
    the folders of AMC files, in alphabetical order, so any selection of the 130 that are published
    will do. Items have the attributes ``subject`` (the person, as ``"bd"``) and ``take``.

    The few-shot split of classes is this package's own: the classes in the order of
    ``numpy.random.default_rng(SPLIT_SEED).permutation``, the last quarter, but at least five, for
    the test, before them an eighth, but at least three, for validation, the rest for training.

    Args:
        root: Folder that holds ``amc/<class>/HDM_<person>_*.amc`` and ``asf/HDM_<person>.asf``. It
            has to stay, as it tells the classes.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        transform: Applied to each clip on access.
        processed_dir: As for :class:`~pyg_fsar.datasets.SkeletonDataset`.
        num_workers: Likewise.
        force_reload: Likewise.

    Raises:
        FileNotFoundError: If ``root`` has no such files.
        ValueError: If the split is unknown.

    Example:
        >>> dataset = HDM05("data/HDM05", split="test")  # doctest: +SKIP
    """

    LAYOUT: ClassVar[str] = "hdm31"
    SPLIT_SEED: ClassVar[int] = 2022
    FRAMES_PER_SECOND: ClassVar[int] = 120

    def list_classes(self) -> list[str]:
        """Names of the folders of AMC files."""
        return sorted({Path(file).parent.name for file in self.raw_files()})

    def settings_of(self, names: Sequence[str]) -> dict[str, Any]:
        """Labels depend on which folders there are."""
        return {"classes": names}

    @classmethod
    def split_classes(cls, num_classes: int) -> tuple[list[int], list[int]]:
        """Labels for validation and for the test, of so many classes."""
        order = np.random.default_rng(cls.SPLIT_SEED).permutation(num_classes).tolist()
        test = max(5, num_classes // 4)
        val = max(3, num_classes // 8)
        return sorted(order[:-test][-val:]), sorted(order[-test:])

    def raw_files(self) -> Sequence[str]:
        """The AMC files, by class, person and take."""
        root = Path(self.root)
        files = [path for path in root.rglob("*.amc") if FILE_NAME.fullmatch(path.name)]
        if not files:
            raise FileNotFoundError(
                f"found no HDM_*.amc in folders of {root}; download the cut motions and the ASF "
                "files from https://resources.mpi-inf.mpg.de/HDM05 and unpack them to "
                f"{root / 'amc'} and {root / 'asf'}"
            )
        return sorted(path.relative_to(root).as_posix() for path in files)

    def read_raw(self, file: str) -> Iterator[RawClip]:
        """The one clip of a file."""
        path = Path(self.root, file)
        match = FILE_NAME.fullmatch(path.name)
        assert match is not None  # `raw_files` lists no others
        clip = read_clip(path, format="asf_amc")
        if clip.skeleton != "cmu31":
            raise ValueError(f"its skeleton has {len(clip.joint_names)} joints, not those of HDM05")
        yield RawClip(
            name=path.stem,
            bodies=clip.bodies.numpy(),
            label=self.class_names.index(path.parent.name),
            metadata={"subject": match[1].lower(), "take": int(match[3])},
        )
