"""Pickles of PYSKL, the interchange format of skeleton action recognition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyg_fsar.data import SkeletonSequence, as_numbers
from pyg_fsar.data.texts import shorten
from pyg_fsar.datasets.base import SkeletonDataset
from pyg_fsar.datasets.checks import as_label
from pyg_fsar.datasets.storage import RawClip
from pyg_fsar.saving.safe_pickle import load_pickle
from pyg_fsar.skeleton import Skeleton

__all__ = ["PYSKLPickle"]

SEPARATOR = "\t"  # between the names of the splits that a clip belongs to
FORMAT = (
    "not a PYSKL file: expected {'split': {...}, 'annotations': [...]} or a list of annotations"
)
# Of people who were found frame by frame as many are kept, those of the highest scores.
MAX_BODIES = 10
# A number of frames far beyond any clip would ask for endless memory.
MAX_FRAMES = 100_000


class PYSKLPickle(SkeletonDataset):
    r"""A dataset in the pickle format of "PYSKL: Towards Good Practices for Skeleton Action
    Recognition" (ACM MM 2022).

    The file holds ``{"split": {name: [frame_dir, ...]}, "annotations": [...]}`` or the list of
    annotations alone. Each has ``frame_dir``, ``label``, ``keypoint`` ``[M, T, V, C]`` and, for
    joints found in images, ``keypoint_score`` ``[M, T, V]``, which becomes a third channel:
    items then have the channels ``(x, y, score)``. No code in the pickle is run.

    In PYSKL's files of Kinetics-400 the people are listed frame by frame: ``keypoint``
    ``[D, V, 3]`` of ``frame_inds`` ``[D]``, often in a pickle of their own that ``raw_file`` names.
    It is looked for in the folder of ``path`` and nowhere else. Of each frame the ten people with
    the highest scores are kept, best first.

    Args:
        path: The ``.pkl`` file.
        split: Name of a split in the file; by default all clips.
        classes: Labels to keep, for instance those of a few-shot split; by default all.
        skeleton: Layout of the joints; by default the usual one for the number of joints and
            coordinates, such as ``"coco17"`` for 17 joints in images, ``"ntu25"`` for 25 in 3D.
        normalize: Map pixels to ``-1..1`` by the ``img_shape`` of each clip; joints with score zero
            become zero.
        class_names: Name of each class; the file has none.
        transform: Applied to each clip on access.
        processed_dir: As for :class:`~pyg_fsar.datasets.SkeletonDataset`.
        force_reload: Likewise.

    Raises:
        FileNotFoundError: If there is neither such a file nor a store made of it.
        ValueError: If the file has another format, asks to run code, or has no such split.

    Example:
        >>> import pickle
        >>> keypoint = np.random.randn(1, 20, 25, 3)
        >>> annotation = {"frame_dir": "a", "label": 4, "total_frames": 20, "keypoint": keypoint}
        >>> content = {"split": {"train": ["a"]}, "annotations": [annotation]}
        >>> size = Path("clips.pkl").write_bytes(pickle.dumps(content))
        >>> dataset = PYSKLPickle("clips.pkl", split="train")
        >>> dataset[0].num_frames, int(dataset[0].y)
        (20, 4)
    """

    def __init__(
        self,
        path: str | Path,
        split: str | None = None,
        classes: Sequence[int] | None = None,
        skeleton: str | Skeleton | None = None,
        normalize: bool = False,
        class_names: Sequence[str] | Mapping[int, str] = (),
        transform: Callable[[SkeletonSequence], SkeletonSequence] | None = None,
        processed_dir: str | Path | None = None,
        force_reload: bool = False,
    ) -> None:
        self.path = Path(path).expanduser()
        self.normalize = normalize
        self._keypoint_files: list[str] = []
        super().__init__(
            root=self.path.parent,
            skeleton=skeleton,
            class_names=class_names,
            transform=transform,
            processed_dir=processed_dir,
            force_reload=force_reload,
            settings={"normalize": normalize},
        )
        member_of = self.store.metadata.pop("splits")
        keep = np.ones(len(self.store), dtype=bool)
        if split is not None:
            memberships = [set(names.split(SEPARATOR)) for names in member_of.tolist()]
            if split not in set().union(*memberships):
                known = sorted(set().union(*memberships) - {""})
                empty = [why for _, why in self.skipped if why.startswith("split ")]
                raise ValueError(
                    f"{self.path} has no split '{split}'; it has {shorten(known)}"
                    + (f" with clips. Of the others: {shorten(empty[0], 160)}" if empty else "")
                )
            keep &= [split in names for names in memberships]
        if classes is not None:
            keep &= np.isin(self.store.labels, list(classes))
        self.select(keep)

    @property
    def store_name(self) -> str:
        """Name of the file, since one folder may hold several."""
        return self.path.stem

    def raw_files(self) -> list[str]:
        """The file itself."""
        if not self.path.is_file():
            raise FileNotFoundError(
                f"there is no file {self.path}; PYSKL's files are listed at "
                "https://github.com/kennymckormick/pyskl/blob/main/tools/data/README.md"
            )
        return [self.path.name]

    def shared_files(self) -> list[str]:
        """Pickles of keypoints that annotations named, once the file has been read."""
        return self._keypoint_files

    def read_raw(self, file: str) -> Iterator[RawClip | str]:
        """All clips of the file, and what its splits name in vain."""
        annotations, splits = _parts(load_pickle(self.path))
        member_of: dict[str, list[str]] = {}
        for split, names in splits.items():
            for name in names:
                member_of.setdefault(str(name), []).append(str(split))
        found: set[str] = set()
        for number, annotation in enumerate(annotations):
            name = annotation.get("frame_dir", number) if isinstance(annotation, Mapping) else None
            try:
                clip = self._clip(annotation, str(name))
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                what = str(error) if isinstance(error, ValueError) else repr(error)
                yield f"annotation {number} ({shorten(name, 60)}) is malformed: {what}"
                continue
            found.add(clip.name)
            clip.metadata = {"splits": SEPARATOR.join(member_of.get(clip.name, []))}
            yield clip
        for split, names in splits.items():
            if lacking := [str(name) for name in names if str(name) not in found]:
                yield (
                    f"split '{shorten(split, 40)}' names {len(lacking)} of {len(names)} clips that "
                    f"are not there, such as '{shorten(lacking[0], 60)}'; clips are named by "
                    f"'frame_dir', such as '{shorten(next(iter(found), ''), 60)}'"
                )

    def _clip(self, annotation: Mapping[str, Any], name: str) -> RawClip:
        if not isinstance(annotation, Mapping):
            raise ValueError(f"expected a dictionary, got {type(annotation).__name__}")
        label = as_label(annotation["label"], "the annotation")
        total = annotation.get("total_frames")
        if "keypoint" not in annotation and "raw_file" in annotation:
            annotation = {**annotation, **self._keypoints_of(annotation["raw_file"])}
        bodies = np.asarray(as_numbers(annotation["keypoint"], "keypoint"), dtype=np.float32)
        score = annotation.get("keypoint_score")
        if score is not None:
            score = np.asarray(as_numbers(score, "keypoint_score"), dtype=np.float32)
        if bodies.ndim == 3 and "frame_inds" in annotation:
            bodies, score = _by_frame(bodies, annotation["frame_inds"], total)
        if bodies.ndim != 4:
            raise ValueError(f"keypoint must be [M, T, V, C], got shape {bodies.shape}")
        num_bodies, num_frames = bodies.shape[:2]
        if total not in (None, num_frames) and num_bodies > num_frames:
            if num_bodies != total:
                raise ValueError(
                    f"keypoint of shape {bodies.shape} has more bodies than frames as [M, T, V, C] "
                    f"and no axis has the {shorten(total, 20)} of 'total_frames'"
                )
            bodies = bodies.swapaxes(0, 1)  # stored as [T, M, V, C]
            score = None if score is None else score.swapaxes(0, 1)
        if self.normalize:
            bodies = _normalize(bodies, annotation["img_shape"])
        # Three channels with a score beside them are coordinates.
        scored = None if score is None and bodies.shape[-1] == 3 else False
        if score is not None and bodies.shape[-1] == 2:
            scored, score = True, score[..., None]
            if self.normalize:
                bodies = np.where(score > 0, bodies, 0)
            bodies = np.concatenate([bodies, score], axis=-1)
        return RawClip(name, bodies, label, scored=scored)

    def _keypoints_of(self, raw_file: Any) -> Mapping[str, Any]:
        """Content of a pickle of keypoints, which must be in the folder of the file."""
        folder = self.path.parent.resolve()
        places = (folder / str(raw_file), folder / Path(str(raw_file)).name)
        for path in places:
            if path.resolve().is_relative_to(folder) and path.is_file():
                self._keypoint_files.append(path.resolve().relative_to(folder).as_posix())
                content = load_pickle(path)
                if isinstance(content, Mapping):
                    return {key: content[key] for key in ("keypoint", "frame_inds")}
                raise ValueError(f"{path.name} holds no dictionary of 'keypoint' and 'frame_inds'")
        raise ValueError(
            f"its keypoints are in a file of their own, {shorten(raw_file, 80)!r}, which is not in "
            f"{folder}; put it there and pass force_reload=True"
        )


def _parts(content: Any) -> tuple[Sequence[Any], Mapping[str, Sequence[Any]]]:
    """Annotations and splits of a file."""
    splits: Any = {}
    if isinstance(content, Mapping) and "keypoint" in content:
        content = [content]  # one annotation by itself
    if isinstance(content, Mapping):
        content, splits = content.get("annotations"), content.get("split") or {}
    if isinstance(content, np.ndarray) and content.ndim == 1:
        content = content.tolist()
    if not isinstance(content, Sequence) or isinstance(content, str | bytes):
        raise ValueError(f"{FORMAT}, got {type(content).__name__}")
    if not isinstance(splits, Mapping):
        raise ValueError(f"{FORMAT}; here 'split' is of type {type(splits).__name__}")
    for split, names in splits.items():
        if not isinstance(names, Sequence | np.ndarray) or isinstance(names, str | bytes):
            raise ValueError(
                f"split '{shorten(split, 40)}' must be a list of names, not {shorten(names, 80)}"
            )
    return content, splits


def _normalize(bodies: np.ndarray, img_shape: Any) -> np.ndarray:
    """Map pixels to ``-1..1``."""
    height, width = (float(size) for size in img_shape)
    if not (height > 0 and width > 0):
        raise ValueError(f"img_shape must be (height, width), got {shorten(img_shape, 60)}")
    if bodies.size and np.abs(bodies[..., :2]).max() <= 1:
        raise ValueError("the coordinates lie in -1..1 already; pass normalize=False")
    bodies = bodies.copy()
    bodies[..., :2] = bodies[..., :2] / np.array([width, height], dtype=np.float32) * 2 - 1
    return bodies


def _by_frame(
    people: np.ndarray, frame_inds: Any, total: Any
) -> tuple[np.ndarray, np.ndarray | None]:
    """Bodies and scores of people who are listed frame by frame.

    Shapes:
        - **people:** ``[D, V, 3]``
        - **output:** ``[M, T, V, 2]`` and ``[M, T, V]``
    """
    index = np.asarray(as_numbers(frame_inds, "frame_inds")).astype(np.int64).reshape(-1)
    if len(index) != len(people) or not len(index) or people.shape[-1] != 3:
        raise ValueError(
            f"keypoint {people.shape} must be [D, V, 3] for the {len(index)} 'frame_inds'"
        )
    num_frames = int(index.max()) + 1 if total is None else int(total)
    if index.min() < 0 or index.max() >= num_frames or num_frames > MAX_FRAMES:
        raise ValueError(
            f"'frame_inds' {index.min()}..{index.max()} must be below 'total_frames' "
            f"{shorten(num_frames, 40)}, at most {MAX_FRAMES}"
        )
    order = np.lexsort((-people[..., 2].sum(axis=1), index))
    index = index[order]
    rank = np.arange(len(index)) - np.searchsorted(index, index)
    kept = rank < MAX_BODIES
    bodies = np.zeros((rank[kept].max() + 1, num_frames, *people.shape[1:]), np.float32)
    bodies[rank[kept], index[kept]] = people[order][kept]
    return bodies[..., :2], bodies[..., 2]
