"""Pickles of PYSKL, the interchange format of skeleton action recognition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.datasets.base import SkeletonDataset
from pyg_fsar.datasets.safe_pickle import load_pickle
from pyg_fsar.datasets.storage import RawClip
from pyg_fsar.skeleton import Skeleton

__all__ = ["PYSKLPickle"]

SEPARATOR = "\t"  # between the names of the splits that a clip belongs to


class PYSKLPickle(SkeletonDataset):
    r"""A dataset in the pickle format of "PYSKL: Towards Good Practices for Skeleton Action
    Recognition" (ACM MM 2022).

    The file holds ``{"split": {name: [frame_dir, ...]}, "annotations": [...]}`` or the list of
    annotations alone. Each has ``frame_dir``, ``label``, ``keypoint`` ``[M, T, V, C]`` and, for
    joints found in images, ``keypoint_score`` ``[M, T, V]``, which becomes a third channel:
    items then have the channels ``(x, y, score)``. No code in the pickle is run.

    Args:
        path: The ``.pkl`` file.
        split: Name of a split in the file; by default all clips.
        classes: Labels to keep, for instance those of a few-shot split; by default all.
        skeleton: Layout of the joints; by default ``"coco17"`` for 17 joints, ``"ntu25"`` for 25.
        normalize: Map pixels to ``-1..1`` by the ``img_shape`` of each clip; joints with score zero
            become zero.
        class_names: Name of each class; the file has none.
        transform: Applied to each clip on access.
        processed_dir: As for :class:`~pyg_fsar.datasets.SkeletonDataset`.
        force_reload: Likewise.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file has another format, asks to run code, or has no such split.
    """

    def __init__(
        self,
        path: str | Path,
        split: str | None = None,
        classes: Sequence[int] | None = None,
        skeleton: str | Skeleton | None = None,
        normalize: bool = False,
        class_names: Sequence[str] = (),
        transform: Callable[[SkeletonSequence], SkeletonSequence] | None = None,
        processed_dir: str | Path | None = None,
        force_reload: bool = False,
    ) -> None:
        self.path = Path(path).expanduser()
        if not self.path.is_file():
            raise FileNotFoundError(
                f"there is no file {self.path}; PYSKL's files are listed at "
                "https://github.com/kennymckormick/pyskl/blob/main/tools/data/README.md"
            )
        self.normalize = normalize
        stat = self.path.stat()
        super().__init__(
            root=self.path.parent,
            skeleton=skeleton,
            class_names=class_names,
            transform=transform,
            processed_dir=processed_dir,
            force_reload=force_reload,
            settings={"normalize": normalize, "file": [stat.st_size, stat.st_mtime_ns]},
        )
        member_of = self.store.metadata.pop("splits")
        keep = np.ones(len(self.store), dtype=bool)
        if split is not None:
            memberships = [set(names.split(SEPARATOR)) for names in member_of.tolist()]
            if split not in set().union(*memberships):
                known = sorted(set().union(*memberships) - {""})
                raise ValueError(f"{self.path} has no split '{split}'; it has {known}")
            keep &= [split in names for names in memberships]
        if classes is not None:
            keep &= np.isin(self.store.labels, list(classes))
        self._select(keep)

    @property
    def store_name(self) -> str:
        """Name of the file, since one folder may hold several."""
        return self.path.stem

    def raw_files(self) -> list[str]:
        """The file itself."""
        return [self.path.name]

    def read_raw(self, file: str) -> Iterator[RawClip | str]:
        """All clips of the file."""
        content = load_pickle(self.path)
        annotations = content.get("annotations") if isinstance(content, Mapping) else content
        splits = content.get("split", {}) if isinstance(content, Mapping) else {}
        if not isinstance(annotations, Sequence) or not isinstance(splits, Mapping):
            raise ValueError(
                "not a PYSKL file: expected {'split': {...}, 'annotations': [...]} or a list of "
                f"annotations, got {type(content).__name__}"
            )
        member_of: dict[str, list[str]] = {}
        for split, names in splits.items():
            if not isinstance(names, Sequence | np.ndarray):
                raise ValueError(f"split '{split}' must be a list of names, not {names!r}")
            for name in names:
                member_of.setdefault(str(name), []).append(str(split))
        for number, annotation in enumerate(annotations):
            try:
                clip = self._clip(annotation, number)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                name = annotation.get("frame_dir") if isinstance(annotation, Mapping) else None
                yield f"annotation {number} ({name}) is malformed: {error!r}"
                continue
            clip.metadata = {"splits": SEPARATOR.join(member_of.get(clip.name, []))}
            yield clip

    def _clip(self, annotation: Mapping[str, Any], number: int) -> RawClip:
        bodies = np.asarray(annotation["keypoint"], dtype=np.float32)
        if bodies.ndim != 4:
            raise ValueError(f"keypoint must be [M, T, V, C], got shape {bodies.shape}")
        if self.normalize:
            height, width = annotation["img_shape"]
            scale = np.array([width, height], dtype=np.float32) / 2
            bodies = bodies.copy()
            bodies[..., :2] = bodies[..., :2] / scale - 1
        score = annotation.get("keypoint_score")
        if score is not None and bodies.shape[-1] == 2:
            score = np.asarray(score, dtype=np.float32)[..., None]
            if self.normalize:
                bodies = np.where(score > 0, bodies, 0)
            bodies = np.concatenate([bodies, score], axis=-1)
        return RawClip(str(annotation.get("frame_dir", number)), bodies, int(annotation["label"]))
