"""NTU RGB+D 60 and 120: daily actions before three Kinect v2."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch_geometric.data import download_url

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.datasets.archives import read_member, zip_members
from pyg_fsar.datasets.base import SkeletonDataset
from pyg_fsar.datasets.ntu_classes import NTU_CLASS_NAMES
from pyg_fsar.datasets.splits import class_split, draw_per_class
from pyg_fsar.datasets.storage import RawClip
from pyg_fsar.formats.ntu_format import parse_ntu_skeleton

__all__ = ["NTURGBD"]

CLIP_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")
# Between a zip file and the member in the name of a raw file.
MEMBER = "::"
SUFFIX = ".skeleton"
# The largest genuine files have a few MB.
MAX_BYTES = 2**26


class NTURGBD(SkeletonDataset):
    r"""Skeletons of "NTU RGB+D: A Large Scale Dataset for 3D Human Activity Analysis" (CVPR 2016)
    and "NTU RGB+D 120: A Large-Scale Benchmark for 3D Human Activity Understanding" (TPAMI 2020).

    One or two bodies with 25 joints in metres, as
    :func:`~pyg_fsar.datasets.read_ntu_skeleton` finds them; 120 actions, the label of A001 being 0.
    Items have the attributes ``setup``, ``camera``, ``performer`` and ``replication``. All choices
    below but ``max_bodies`` select from one store, which holds every clip.

    - ``protocol="few-shot"``: the split of classes of "Learning Spatial-Preserved Skeleton
      Representations for Few-Shot Action Recognition" (ECCV 2022), 80 for training, 20 for
      validation (:attr:`VAL_CLASSES`), 20 for the test (:attr:`TEST_CLASSES`).
    - ``protocol="one-shot"``: that of the TPAMI paper. The test has the 20 novel classes A001,
      A007, ..., A115, of each of which one clip is the exemplar (:attr:`exemplars`) and all others
      are queries. The paper trains on the 100 others, ``split="trainval"``; of these ``"val"`` has
      A002, A008, ..., A116, and ``"train"`` the remaining 80, so that no choice of a model ever
      needs the test.

    Args:
        root: Folder with the ``.skeleton`` files, in subfolders if you like, or with the zip files
            as distributed (``nturgbd_skeletons_s001_to_s017.zip`` for 60 classes, and
            ``nturgbd_skeletons_s018_to_s032.zip``), which need not be unpacked.
        subset: ``"T"`` (NTU-T, 30 clips per class) or ``"S"`` (NTU-S, 60), drawn at random from the
            clips that ``missing`` leaves; none means all clips.
        split: ``"train"``, ``"val"``, ``"test"``, ``"trainval"`` or ``"all"``; no two of the first
            three share a class.
        protocol: ``"few-shot"`` or ``"one-shot"``.
        num_classes: 120, or 60 for NTU RGB+D 60: the part of each split that lies in its classes.
        seed: Seed of the subset. A clip's being drawn depends on it and on the names of the class's
            clips alone.
        missing: The authors' list of clips with missing skeletons, which are then left out: a file,
            or ``"download"`` to fetch it into :attr:`processed_dir`. Without it, only files without
            any body are left out, so a subset may differ a little from one drawn with the list.
        max_bodies: The most bodies of a clip.
        transform: Applied to each clip on access.
        processed_dir: As for :class:`~pyg_fsar.datasets.SkeletonDataset`.
        num_workers: Likewise.
        force_reload: Likewise.

    Raises:
        FileNotFoundError: If ``root`` has no such files, or there is no list at ``missing``.
        ValueError: If an option is unknown or does not go with another.

    Example:
        >>> Path("ntu").mkdir()
        >>> for name in ("S001C001P001R001A001", "S001C001P001R001A002"):
        ...     write_ntu_skeleton(f"ntu/{name}.skeleton", np.random.randn(1, 20, 25, 3))
        ...
        >>> dataset = NTURGBD("ntu", split="train")
        >>> len(dataset), dataset.class_names[0]
        (2, 'drink water')
    """

    VAL_CLASSES: ClassVar[tuple[int, ...]] = (
        *(15, 35, 37, 38, 42, 47, 50, 51, 54, 56),
        *(57, 59, 60, 61, 67, 69, 92, 95, 97, 116),
    )
    TEST_CLASSES: ClassVar[tuple[int, ...]] = (
        *(4, 9, 12, 14, 24, 26, 30, 32, 43, 44),
        *(45, 62, 75, 83, 86, 100, 102, 111, 112, 119),
    )
    ONE_SHOT_VAL_CLASSES: ClassVar[tuple[int, ...]] = tuple(range(1, 120, 6))
    ONE_SHOT_TEST_CLASSES: ClassVar[tuple[int, ...]] = tuple(range(0, 120, 6))
    #: Clips per class of the subsets.
    SUBSETS: ClassVar[dict[str, int]] = {"T": 30, "S": 60}
    #: The lists of clips with missing skeletons by number of classes, and how many clips they name.
    MISSING_LISTS: ClassVar[dict[int, tuple[str, int]]] = {
        60: ("NTU_RGBD_samples_with_missing_skeletons.txt", 302),
        120: ("NTU_RGBD120_samples_with_missing_skeletons.txt", 535),
    }
    MISSING_URL: ClassVar[str] = (
        "https://raw.githubusercontent.com/shahroudy/NTURGB-D/master/Matlab/{}"
    )

    def __init__(
        self,
        root: str | Path,
        subset: str | None = None,
        split: str = "train",
        protocol: str = "few-shot",
        num_classes: int = 120,
        seed: int = 2022,
        missing: str | Path | None = None,
        max_bodies: int = 2,
        transform: Callable[[SkeletonSequence], SkeletonSequence] | None = None,
        processed_dir: str | Path | None = None,
        num_workers: int | None = None,
        force_reload: bool = False,
    ) -> None:
        if subset not in (None, *self.SUBSETS):
            raise ValueError(f"unknown subset {subset!r}; known are 'T', 'S' and None")
        if protocol == "one-shot" and (subset is not None or num_classes != 120):
            raise ValueError("the one-shot protocol is about all clips of the 120 classes")
        if max_bodies < 1:
            raise ValueError(f"max_bodies must be at least 1, got {max_bodies}")
        classes = self._classes_of(split, protocol, num_classes)
        if missing not in (None, "download") and not Path(missing).expanduser().is_file():
            raise FileNotFoundError(
                f"there is no list of missing skeletons at {missing}; pass missing='download', or "
                f"save {self._missing_url(num_classes)} there"
            )
        self.protocol = protocol
        self.max_bodies = max_bodies
        super().__init__(
            root=root,
            skeleton="ntu25",
            class_names=NTU_CLASS_NAMES,
            transform=transform,
            processed_dir=processed_dir,
            num_workers=num_workers,
            force_reload=force_reload,
            settings={"max_bodies": max_bodies},
        )
        self.class_names = self.class_names[:num_classes]
        keep = np.isin(self.store.labels, classes)
        if missing is not None:
            keep &= ~np.isin(self.store.names, self._read_missing(missing, num_classes))
        if subset is not None:
            usable = np.flatnonzero(keep)
            keep[usable] = draw_per_class(
                self.store.labels[usable], self.store.names[usable], self.SUBSETS[subset], seed
            )
        self.select(keep)

    @property
    def exemplars(self) -> dict[int, int]:
        """Position in this dataset of the exemplar of each novel class of the one-shot protocol.

        Every other clip of the ``"test"`` split is a query.

        Raises:
            ValueError: If this is another protocol or split, or an exemplar is missing.
        """
        position = {name: position for position, name in enumerate(self.names)}
        if self.protocol != "one-shot":
            raise ValueError("exemplars belong to the one-shot protocol: protocol='one-shot'")
        names = {label: self.exemplar_name(label) for label in self.ONE_SHOT_TEST_CLASSES}
        missing = [f"{name}.skeleton" for name in names.values() if name not in position]
        if missing:
            raise ValueError(
                f"{len(missing)} exemplars of the one-shot protocol are not in this dataset: "
                f"{', '.join(missing)}. They are in the splits 'test' and 'all'; if this is one, "
                "add these files to the root and pass force_reload=True"
            )
        return {label: position[name] for label, name in names.items()}

    @staticmethod
    def exemplar_name(label: int) -> str:
        """Name of the clip that is the exemplar of a novel class of the one-shot protocol."""
        return f"S{1 if label < 60 else 18:03d}C003P008R001A{label + 1:03d}"

    def raw_files(self) -> list[str]:
        """Files and members of zip files, by name of the clip; of a clip found twice, the file."""
        files, archives = self._walk()
        sources = {Path(file).stem: file for file in files}
        for archive in archives:
            try:
                members = zip_members(Path(self.root, archive))
            except ValueError:
                sources[archive] = archive  # to be listed as broken
                continue
            for member in members:
                if member.lower().endswith(SUFFIX):
                    sources.setdefault(Path(member).stem, f"{archive}{MEMBER}{member}")
        if not sources:
            raise FileNotFoundError(
                f"found neither *.skeleton nor nturgbd_skeletons_*.zip in {self.root}; request the "
                "skeleton data at https://rose1.ntu.edu.sg/dataset/actionRecognition and put the "
                "zip files there"
            )
        return [sources[name] for name in sorted(sources)]

    def input_files(self) -> list[str]:
        """Files and zip files; the latter have too many members to be looked at on every start."""
        return [file for found in self._walk() for file in found]

    def input_of(self, file: str) -> str:
        """The file or zip file in which a clip lies."""
        return file.partition(MEMBER)[0]

    def _walk(self) -> tuple[list[str], list[str]]:
        """The files of clips and the zip files under the root, relative to it."""
        files, archives = [], []
        for folder, _, names in os.walk(self.root):
            inside = os.path.relpath(folder, self.root)
            prefix = "" if inside == "." else f"{inside}{os.sep}"
            for name in names:
                lower = name.lower()
                if lower.endswith(SUFFIX):
                    files.append(prefix + name)
                elif lower.endswith(".zip") and "skeletons" in lower:
                    archives.append(prefix + name)
        return sorted(files), sorted(archives)

    def read_raw(self, file: str) -> Iterator[RawClip]:
        """The one clip of a file."""
        archive, _, member = file.partition(MEMBER)
        path = Path(self.root, archive)
        if archive.lower().endswith(".zip") and not member:
            zip_members(path)  # says what is wrong with it
        name = Path(member or archive).stem
        match = CLIP_NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"'{name}' is not named like S001C001P001R001A001; rename the file")
        setup, camera, performer, replication, action = map(int, match.groups())
        if member:
            raw = read_member(path, member, MAX_BYTES)
        elif (size := path.stat().st_size) > MAX_BYTES:
            raise ValueError(f"it has {size} bytes, which is no clip; download it again")
        else:
            raw = path.read_bytes()
        yield RawClip(
            name=name,
            bodies=parse_ntu_skeleton(raw, Path(member or archive).name, self.max_bodies),
            label=action - 1,
            metadata={
                "setup": setup,
                "camera": camera,
                "performer": performer,
                "replication": replication,
            },
        )

    @classmethod
    def _classes_of(cls, split: str, protocol: str, num_classes: int) -> list[int]:
        if num_classes not in (60, 120):
            raise ValueError(f"num_classes must be 60 or 120, got {num_classes}")
        splits = {
            "few-shot": (cls.VAL_CLASSES, cls.TEST_CLASSES),
            "one-shot": (cls.ONE_SHOT_VAL_CLASSES, cls.ONE_SHOT_TEST_CLASSES),
        }
        if protocol not in splits:
            raise ValueError(f"unknown protocol '{protocol}'; known are {', '.join(splits)}")
        if split not in ("train", "val", "test", "trainval", "all"):
            raise ValueError(f"unknown split '{split}'; known are train, val, test, trainval, all")
        val, test = splits[protocol]
        if split == "trainval":
            classes = class_split("train", range(120), (), test)
        else:
            classes = class_split(split, range(120), val, test)
        return [label for label in classes if label < num_classes]

    @classmethod
    def _missing_url(cls, num_classes: int) -> str:
        return cls.MISSING_URL.format(cls.MISSING_LISTS[num_classes][0])

    def _read_missing(self, missing: str | Path, num_classes: int) -> list[str]:
        file, length = self.MISSING_LISTS[num_classes]
        path = Path(missing).expanduser()
        if missing == "download":
            url = self._missing_url(num_classes)
            try:
                path = Path(download_url(url, self.processed_dir, filename=file))
            except OSError as error:
                raise OSError(
                    f"cannot download {url} ({error}); save it by hand and pass missing=<its path>"
                ) from error
        # Without its zero bytes, a list in UTF-16 reads as one in ASCII.
        content = path.read_bytes().replace(b"\0", b"").decode("ascii", errors="replace")
        names = [match.group() for match in CLIP_NAME.finditer(content)]
        if missing == "download" and len(names) != length:
            raise ValueError(
                f"{path} names {len(names)} clips instead of {length}; delete it to have it "
                "downloaded again"
            )
        if not names:
            raise ValueError(f"{path} names no clip like S001C001P001R001A001")
        return names
