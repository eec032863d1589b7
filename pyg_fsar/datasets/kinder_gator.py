"""Kinder-Gator: 58 actions of children and adults before a Kinect v1."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pyg_fsar.datasets.class_split_dataset import ClassSplitDataset
from pyg_fsar.datasets.storage import RawClip
from pyg_fsar.formats import read_clip

__all__ = ["KinderGator"]

FILE_NAME = re.compile(r"POSE-p(\d{1,6})_(\d{1,3})-(.+?)-?-(\d+)\.csv", re.IGNORECASE)


class KinderGator(ClassSplitDataset):
    r"""Skeletons of "Kinder-Gator: The UF Kinect Database of Child and Adult Motion" (Eurographics
    2018, short papers).

    1,159 clips of one body with 20 joints in metres, about 30 frames a second: 58 actions, each
    done once by 10 adults and 10 children. Items have the attributes ``subject``, ``group``
    (``"adult"`` or ``"child"``) and ``position``, the place of the action in the session. The
    few-shot split of classes is this package's own, drawn once at random (:attr:`SPLIT_SEED`): 34
    classes for training, 10 for validation, 14 for the test.

    Args:
        root: Folder that holds ``Adults`` and ``Children`` with the CSV files.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        transform: Applied to each clip on access.
        processed_dir: As for :class:`~pyg_fsar.datasets.SkeletonDataset`.
        num_workers: Likewise.
        force_reload: Likewise.

    Raises:
        FileNotFoundError: If ``root`` has no such files.
        ValueError: If the split is unknown.

    Example:
        >>> dataset = KinderGator("data/Kinder-Gator", split="test")  # doctest: +SKIP
    """

    LAYOUT: ClassVar[str] = "kinect20"
    CLASS_NAMES: ClassVar[tuple[str, ...]] = (
        "Raise your hand",
        "Raise your other hand",
        "Wave your hand",
        "Wave your other hand",
        "Bow",
        "Raise your arm to one side",
        "Raise your arm to the other side",
        "Bend your knee while raising your leg",
        "Bend your other knee while raising your leg",
        "Put your hands on your hips and lean to the side",
        "Put your hands on your hips and lean to the other side",
        "Put your hands on your hips and twist",
        "Touch your toes",
        "Do a forward lunge",
        "Lift your leg to one side",
        "Lift your leg to the other side",
        "Walk in place",
        "Walk in place as fast as you can",
        "Run in place",
        "Run in place as fast as you can",
        "Jump",
        "Jump as high as you can",
        "Do two jumping jacks",
        "Push an imaginary button in front of you",
        "Swipe across an imaginary screen in front of you from right to left",
        "Swipe across an imaginary screen in front of you from left to right",
        "Fly like a bird",
        "Fly like an airplane",
        "Swim",
        "Kick a ball",
        "Kick a ball as far as you can",
        "Kick a ball with the other leg",
        "Kick a ball as far as you can with the other leg",
        "Throw a ball",
        "Throw a ball as far as you can",
        "Throw a ball with your other arm",
        "Throw a ball as far as you can with the other arm",
        "Punch",
        "Climb and imaginary ladder",
        "Point at the camera",
        "Signal someone to stop",
        "Signal someone to come here",
        "Draw a circle",
        "Draw a square",
        "Draw a triangle",
        "Draw the letter A",
        "Draw the letter C",
        "Draw the letter K",
        "Draw the letter M",
        "Draw the letter X",
        "Make the letter Y",
        "Make the letter M",
        "Make the letter C",
        "Make the letter A",
        "Make the letter K",
        "Make the letter P",
        "Make the letter T",
        "Make the letter X",
    )
    #: ``numpy.random.default_rng(SPLIT_SEED).permutation(58)``: the first 34 are for training, the
    #: next 10 for validation, the last 14 for the test.
    SPLIT_SEED: ClassVar[int] = 2022
    VAL_CLASSES: ClassVar[tuple[int, ...]] = (10, 12, 15, 21, 23, 24, 30, 32, 34, 37)
    TEST_CLASSES: ClassVar[tuple[int, ...]] = (
        *(0, 2, 3, 5, 16, 25, 27),
        *(36, 38, 40, 47, 49, 50, 53),
    )
    TRAIN_CLASSES: ClassVar[tuple[int, ...]] = tuple(
        sorted(set(range(58)).difference(VAL_CLASSES, TEST_CLASSES))
    )

    def raw_files(self) -> list[str]:
        """The CSV files of the adults, then of the children, by subject and position."""
        root = Path(self.root)
        found = {path: FILE_NAME.fullmatch(path.name) for path in root.rglob("*.csv")}
        keys = {
            path.relative_to(root).as_posix(): (path.parent.name, int(m[1]), int(m[2]))
            for path, m in found.items()
            if m
        }
        if not keys:
            raise FileNotFoundError(
                f"found no POSE-p*_*-*.csv in {root} or a folder in it; clone "
                "https://github.com/hayeesha/Kinder-Gator and give its folder"
            )
        return sorted(keys, key=keys.__getitem__)

    def read_raw(self, file: str) -> Iterator[RawClip]:
        """The one clip of a file."""
        path = Path(self.root, file)
        match = FILE_NAME.fullmatch(path.name)
        assert match is not None  # `raw_files` lists no others
        subject, position, action = int(match[1]), int(match[2]), match[3].replace("-", " ")
        if action not in self.CLASS_NAMES:
            raise ValueError(f"the name of the file tells no action of the 58: '{action[:60]}'")
        yield RawClip(
            name=f"p{subject}_{position:02d}",
            bodies=read_clip(path, format="joints_csv").bodies.numpy(),
            label=self.CLASS_NAMES.index(action),
            metadata={
                "subject": subject,
                "group": "child" if path.parent.name.lower().startswith("child") else "adult",
                "position": position,
            },
        )
