"""Pickled annotations of MMPose and PYSKL: one, or a file of many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyg_fsar.formats.base import Format, Recording
from pyg_fsar.formats.pictures import from_pixels
from pyg_fsar.formats.source import Source
from pyg_fsar.formats.values import number_array
from pyg_fsar.skeleton import Skeleton

__all__ = ["PYSKL"]


def matches(source: Source) -> bool:
    """A pickle of an annotation with ``keypoint``, or of a list of them, with splits or without."""
    annotations = _annotations(source)
    return (
        bool(annotations) and isinstance(annotations[0], Mapping) and "keypoint" in annotations[0]
    )


def read(
    source: Source, *, clip: int | str | None = None, skeleton: str | Skeleton | None = None
) -> Recording:
    """Read one annotation. Pixels become relative by ``img_shape``.

    Args:
        source: The file.
        clip: Which annotation, by ``frame_dir`` or number, where there are several.
        skeleton: Layout of the joints; by default ``"coco17"`` for 17 joints found in pictures,
            ``"openpose25"`` for 25, and ``"ntu25"`` for 25 joints in 3D.
    """
    annotations = _annotations(source)
    if not annotations:
        raise ValueError("it is no pickle of annotations")
    annotation = _choose(annotations, clip)
    bodies = number_array(annotation["keypoint"], "keypoints")
    total = annotation.get("total_frames", annotation.get("num_frames"))
    if bodies.ndim == 3:
        bodies = bodies[None]
    if bodies.ndim != 4 or 0 in bodies.shape:
        raise ValueError(f"keypoint must be [M, T, V, C], got shape {bodies.shape}")
    score = annotation.get("keypoint_score")
    if score is not None:
        score = number_array(score, "scores")
        if score.size != bodies[..., 0].size:
            raise ValueError(f"keypoint_score has shape {score.shape}, keypoint {bodies.shape}")
        score = score.reshape(bodies.shape[:3])
    if bodies.shape[0] == total != bodies.shape[1]:  # stored as [T, M, V, C]
        bodies = bodies.swapaxes(0, 1)
        score = None if score is None else score.swapaxes(0, 1)
    layout = Skeleton.get(skeleton or _layout(bodies, score))
    if bodies.shape[3] < layout.dims:
        raise ValueError(f"joints have {bodies.shape[3]} coordinates, '{layout.name}' needs more")
    if score is not None and bodies.shape[3] == layout.dims:
        bodies = np.concatenate([bodies, score[..., None]], axis=-1)
    if layout.dims == 2:
        shape = annotation.get("img_shape")  # height, width
        bodies = from_pixels(bodies[..., :3], None if shape is None else (shape[1], shape[0]))
    return Recording.from_bodies(np.nan_to_num(bodies, nan=0.0, posinf=np.inf), layout)


def _annotations(source: Source) -> list[Any]:
    content = source.pickle
    if isinstance(content, Mapping):
        content = content.get("annotations", [content])
    return list(content) if isinstance(content, list | tuple) else []


def _choose(annotations: list[Any], clip: int | str | None) -> Any:
    names = [str(entry.get("frame_dir", n)) for n, entry in enumerate(annotations)]
    if clip is None and len(names) == 1:
        return annotations[0]
    known = ", ".join(names[:5])
    if clip is None:
        raise ValueError(f"it has {len(names)} clips; choose one by clip=..., such as {known}")
    if isinstance(clip, int) and 0 <= clip < len(names):
        return annotations[clip]
    if clip not in names:
        raise ValueError(f"it has no clip {clip!r}; it has {len(names)}, such as {known}")
    return annotations[names.index(str(clip))]


def _layout(bodies: np.ndarray, score: np.ndarray | None) -> str:
    joints, channels = bodies.shape[2:]
    in_picture = channels == 2 or score is not None
    known = {(17, True): "coco17", (25, True): "openpose25", (18, True): "openpose18"}
    known |= {(26, True): "halpe26", (25, False): "ntu25"}
    if (joints, in_picture) not in known:
        raise ValueError(
            f"{joints} joints with {channels} coordinates{'' if score is None else ' and scores'} "
            "may be of several layouts; say which: skeleton=..."
        )
    return known[joints, in_picture]


PYSKL = Format(
    matches,
    read,
    files="pickle of one or more annotations of MMPose or PYSKL, of which nothing is run",
    layout="coco17, openpose25, ntu25; others with skeleton=",
    units="image, or metres for 3D",
    people="several, as in the file",
)
