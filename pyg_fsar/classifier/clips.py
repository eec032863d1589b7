"""What a user gives a classifier, checked and brought into one form."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.skeleton import Skeleton

__all__ = [
    "Clip",
    "Clips",
    "Transform",
    "check_clips",
    "join_labels",
    "label_array",
    "prepare_clip",
]

#: One clip: an array is ``[M, T, V, C]`` or ``[T, V, C]``.
Clip = SkeletonSequence | Tensor | np.ndarray
#: Clips as a dataset, a list or an array has them.
Clips = Collection[Clip]
#: What makes a clip ready for the encoder.
Transform = Callable[[SkeletonSequence], SkeletonSequence]


def check_clips(clips: Clips) -> None:
    """Refuse what is no collection of clips.

    Raises:
        TypeError: If it is one clip, a batch, or has no length.
        ValueError: If it is empty.
    """
    if not hasattr(clips, "__len__"):
        raise TypeError(f"clips is of type {type(clips).__name__}; give a dataset, list or array")
    if isinstance(clips, SkeletonSequence):  # which has a length: its number of attributes
        raise TypeError(
            "clips is a single SkeletonSequence; give a list, [clip] or batch.to_data_list()"
        )
    if isinstance(clips, Tensor | np.ndarray) and clips.ndim in (2, 3):
        raise TypeError(
            f"clips is a single array of shape {tuple(clips.shape)}; give a list of arrays "
            "[T, V, C], such as [clip]"
        )
    if not len(clips):
        raise ValueError("there are no clips; give at least one")


def label_array(labels: Collection[Any], num_clips: int) -> np.ndarray:
    """Labels as an array, ``[num_clips]``.

    Raises:
        ValueError: If there is not one label for each clip, or one is NaN.
        TypeError: If labels cannot be sorted.
    """
    array = np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels)
    if array.shape != (num_clips,):
        raise ValueError(
            f"labels have shape {array.shape}, but there are {num_clips} clips; give one label for "
            "each clip"
        )
    try:  # before numpy has made texts of the numbers among them
        sorted(labels if array.dtype.kind in "UO" else ())
    except TypeError as error:
        raise TypeError(f"labels cannot be sorted ({error}); give labels of one kind") from error
    if array.dtype.kind in "fcO" and (array != array).any():
        number = int(np.flatnonzero(array != array)[0])
        raise ValueError(f"the label of clip {number} is NaN, which equals no label; give another")
    return array


def join_labels(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Labels of earlier and later clips as one array.

    Raises:
        TypeError: If they cannot be sorted together.
    """
    if first.dtype.kind == second.dtype.kind:
        joined = np.concatenate([first, second])
        return joined if joined.dtype.kind != "O" else label_array(joined, len(joined))
    labels = [*first.tolist(), *second.tolist()]
    return label_array(labels, len(labels))


def prepare_clip(
    clip: Clip,
    number: int,
    arrays: Skeleton | None,
    layout: Skeleton | None,
    transform: Transform | None,
) -> SkeletonSequence:
    """A clip as an encoder gets it.

    Args:
        clip: The clip.
        number: Its position, for messages.
        arrays: The skeleton of arrays.
        layout: The skeleton it must have; any if not given.
        transform: Is applied to it.

    Raises:
        TypeError: If it is neither a clip nor an array.
        ValueError: If it has no frame, another skeleton, or values that are not finite.
    """
    if isinstance(clip, Tensor | np.ndarray):
        if arrays is None:
            raise ValueError(
                "the encoder has no skeleton, so that of an array is not known; give "
                "FewShotClassifier(..., skeleton=...), or clips as "
                "SkeletonSequence.from_bodies(array, skeleton=...)"
            )
        bodies = torch.as_tensor(clip)
        if bodies.dim() in (3, 4) and arrays.num_joints not in bodies.shape:
            raise ValueError(
                f"clip {number} has {bodies.size(-2)} joints, but skeleton '{arrays.name}' has "
                f"{arrays.num_joints}; give the layout of the arrays, "
                "FewShotClassifier(..., skeleton=...)"
            )
        clip = SkeletonSequence.from_bodies(
            bodies[None] if bodies.dim() == 3 else bodies,
            skeleton=arrays,
            allow_nan=True,  # which the transform may fill
            name=str(number),
        )
    if not isinstance(clip, SkeletonSequence):
        raise TypeError(
            f"clip {number} is of type {type(clip).__name__}; give a SkeletonSequence, or an array "
            "[M, T, V, C] or [T, V, C]"
        )
    if clip.x is None or not clip.x.numel():
        raise ValueError(f"clip {number} has no frames; leave it out")
    if transform is not None:
        clip = transform(clip)
    skeleton = clip.get("skeleton")
    if skeleton is None or (layout is not None and skeleton != layout.name):
        raise ValueError(
            f"clip {number} has skeleton {skeleton!r}, but the model or its support has "
            f"{layout and layout.name!r}; give clips of that skeleton"
        )
    # Once more through the door where clips are checked, for transforms may be anybody's.
    return SkeletonSequence.from_bodies(clip.bodies, skeleton=skeleton, name=str(number))
