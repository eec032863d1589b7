"""Kinetics-skeleton: OpenPose skeletons of the Kinetics videos."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.data.texts import shorten
from pyg_fsar.datasets.base import SkeletonDataset
from pyg_fsar.datasets.checks import as_label
from pyg_fsar.datasets.splits import class_split, draw_per_class
from pyg_fsar.datasets.storage import RawClip

__all__ = ["KineticsSkeleton"]

NUM_JOINTS = 18
MAX_BODIES = 2
# The clips last ten seconds. A number far beyond is no frame and would ask for endless memory.
MAX_FRAMES = 100_000
LARGEST_INDEX = 2**53
# Genuine files are smaller by far. Text that is read becomes many times as large in memory.
MAX_CLIP_BYTES = 2**26
MAX_LABEL_BYTES = 2**28
# Relative coordinates lie in 0..1, or a little outside where a joint was guessed.
LARGEST_RELATIVE = 2.0
CURE = "download the file again, or delete it"


class KineticsSkeleton(SkeletonDataset):
    r"""Kinetics-skeleton of "Spatial Temporal Graph Convolutional Networks for Skeleton-Based
    Action Recognition" (AAAI 2018), in the few-shot split of "Learning Spatial-Preserved Skeleton
    Representations for Few-Shot Action Recognition" (ECCV 2022).

    Each clip is a JSON file. Items have the channels ``(x, y, score)``, ``x`` and ``y`` being
    relative to the middle of the image, ``-0.5..0.5``; a joint with score zero is all zero. Of each
    frame the two people with the highest mean score are kept, best first; who is who may therefore
    change from frame to frame, as in all work on this data. Frames without people at the ends are
    cut off, others stay as zeros.

    Labels are the files' ``label_index``. The few-shot classes are 1 to 120: 20 for validation,
    20 for the test, the others for training.

    Args:
        root: Folder of the JSON files or of folders with them, such as ``kinetics_train`` and
            ``kinetics_val``. Labels come from ``*_label.json`` beside them, else from the clips.
        split: ``"train"``, ``"val"``, ``"test"``, or ``"all"`` for all clips of all classes.
        clips_per_class: Draw so many clips of each class; the paper takes 100. By default all.
        seed: Seed of that draw.
        transform: Applied to each clip on access.
        processed_dir: As for :class:`~pyg_fsar.datasets.SkeletonDataset`.
        num_workers: Likewise.
        force_reload: Likewise.

    Raises:
        FileNotFoundError: If ``root`` has no JSON files.
        ValueError: If the split is unknown.

    Example:
        >>> dataset = KineticsSkeleton("data/kinetics", split="test")  # doctest: +SKIP
    """

    VAL_CLASSES: ClassVar[tuple[int, ...]] = (
        *(4, 7, 10, 36, 37, 42, 44, 45, 55, 56),
        *(61, 88, 94, 98, 103, 104, 106, 108, 116, 120),
    )
    TEST_CLASSES: ClassVar[tuple[int, ...]] = (
        *(3, 22, 35, 46, 53, 54, 57, 60, 62, 80),
        *(81, 92, 96, 99, 100, 101, 107, 112, 114, 115),
    )

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        clips_per_class: int | None = None,
        seed: int = 2022,
        transform: Callable[[SkeletonSequence], SkeletonSequence] | None = None,
        processed_dir: str | Path | None = None,
        num_workers: int | None = None,
        force_reload: bool = False,
    ) -> None:
        classes = class_split(split, range(1, 121), self.VAL_CLASSES, self.TEST_CLASSES)
        super().__init__(
            root=root,
            skeleton="openpose18",
            transform=transform,
            processed_dir=processed_dir,
            num_workers=num_workers,
            force_reload=force_reload,
        )
        labels, action = self.store.labels, self.store.metadata["action"]
        for label, clip in zip(*np.unique(labels, return_index=True), strict=True):
            self.class_names[label] = str(action[clip])
        keep = np.isin(labels, classes) | (split == "all")
        if clips_per_class is not None:
            keep &= draw_per_class(labels, self.store.names, clips_per_class, seed)
        self.select(keep)

    def raw_files(self) -> list[str]:
        """The JSON files of the clips, in the root and the folders in it."""
        _label_table.cache_clear()  # the files may have changed since another dataset read them
        # There may be 260,000, for which objects of Path would take many seconds.
        names = []
        for entry in os.scandir(self.root):
            names.append(entry.name)
            if entry.is_dir():
                names += [f"{entry.name}/{inner.name}" for inner in os.scandir(entry.path)]
        others = ("_label.json", "/.json")
        clips = [
            name
            for name in names
            if name.lower().endswith(".json") and not f"/{name}".lower().endswith(others)
        ]
        if not clips:
            raise FileNotFoundError(
                f"found no *.json in {self.root} or its folders; download Kinetics-skeleton as "
                "told at https://github.com/yysijie/st-gcn and unpack it there"
            )
        return sorted(clips)

    def shared_files(self) -> list[str]:
        """The label files."""
        return [os.path.relpath(path, self.root) for path in _label_files(Path(self.root))]

    def read_raw(self, file: str) -> Iterator[RawClip]:
        """The one clip of a file."""
        path = Path(self.root, file)
        content = _read_json(path, MAX_CLIP_BYTES)
        if isinstance(content, dict) and "people" in content and "data" not in content:
            raise ValueError(
                "this is a frame of OpenPose's own output, not a clip of Kinetics-skeleton; read "
                "such folders with pyg_fsar.datasets.SkeletonFolder, one folder a clip"
            )
        try:
            entry = _label_table(Path(self.root)).get(path.stem, content)
            index, action = entry["label_index"], str(entry.get("label", ""))
            bodies = _bodies(content["data"])
        except (AttributeError, LookupError, TypeError, ArithmeticError) as error:
            raise ValueError(
                f"not in the format of Kinetics-skeleton ({shorten(repr(error), 120)}); {CURE}"
            ) from error
        if index == -1:
            raise ValueError(f"label_index is {index}, which stands for a clip without people")
        label = as_label(index, f"not in the format of Kinetics-skeleton: '{path.stem}'")
        yield RawClip(path.stem, bodies, label, {"action": action or str(label)}, scored=True)


def _bodies(frames: list[dict[str, Any]]) -> np.ndarray:
    """People of all frames, ``[2, T, 18, 3]``."""
    people = [
        (int(frame["frame_index"]), person) for frame in frames for person in frame["skeleton"]
    ]
    if not people:
        raise ValueError("nobody is seen in this clip")
    for _, person in people:
        if len(person["pose"]) != 2 * NUM_JOINTS or len(person["score"]) != NUM_JOINTS:
            raise ValueError(
                f"a pose has {len(person['pose'])} numbers and {len(person['score'])} scores, "
                f"which is not the layout of {NUM_JOINTS} joints"
            )
    first, last = min(frame for frame, _ in people), max(frame for frame, _ in people)
    if last - first >= MAX_FRAMES or max(-first, last) > LARGEST_INDEX:
        raise ValueError(
            f"frame_index goes from {shorten(first, 40)} to {shorten(last, 40)}; {CURE}"
        )
    index = np.array([frame for frame, _ in people])
    score = np.array([person["score"] for _, person in people], dtype=np.float32)
    pose = np.array([person["pose"] for _, person in people], dtype=np.float32)
    pose = np.where(score[..., None] > 0, pose.reshape(-1, NUM_JOINTS, 2), 0)
    if np.abs(pose).max() > LARGEST_RELATIVE:  # not so if there is NaN, which is refused later
        raise ValueError(
            f"coordinates up to {np.abs(pose).max():.6g} are pixels; this format has 0..1, so "
            "divide x by the width and y by the height of the image"
        )
    pose = np.where(score[..., None] > 0, pose - 0.5, 0)

    # By frame and then by falling confidence; the rank is the position within the frame.
    order = np.lexsort((-score.mean(axis=1), index))
    index = index[order]
    rank = np.arange(len(index)) - np.searchsorted(index, index)
    kept = rank < MAX_BODIES
    index, rank, order = index[kept], rank[kept], order[kept]

    num_frames = int(index[-1]) - int(index[0]) + 1
    bodies = np.zeros((MAX_BODIES, num_frames, NUM_JOINTS, 3), dtype=np.float32)
    bodies[rank, index - index[0], :, :2] = pose[order]
    bodies[rank, index - index[0], :, 2] = score[order]
    return bodies


def _read_json(path: Path, max_bytes: int) -> Any:
    if path.stat().st_size > max_bytes:
        raise ValueError(f"{path.name} has more than {max_bytes // 2**20} MiB; {CURE}")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not whole JSON ({shorten(error, 120)}); {CURE}") from error


def _label_files(root: Path) -> list[Path]:
    beside = root.parent / f"{root.name}_label.json"
    return [*sorted(root.glob("*_label.json")), *([beside] if beside.is_file() else [])]


@lru_cache(maxsize=1)
def _label_table(root: Path) -> dict[str, dict[str, Any]]:
    """Entries of all label files of a root, by the name of the clip; one root at a time."""
    table: dict[str, dict[str, Any]] = {}
    for path in _label_files(root):
        try:
            table |= _read_json(path, MAX_LABEL_BYTES)
        except (ValueError, TypeError) as error:
            raise ValueError(f"the label file {path} is malformed: {error}") from error
    return table
