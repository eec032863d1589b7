"""Labels and clips of anything that holds labelled clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex

import torch
from torch import Tensor
from torch.utils.data import Subset

from pyg_fsar.data.sequence import SkeletonSequence

__all__ = ["class_names_of", "gather_clips", "labels_of", "sources_of"]


def labels_of(dataset: Any) -> Tensor:
    """Label of each clip.

    Args:
        dataset: A dataset of this package, a :class:`torch.utils.data.Subset` of one, or any
            sequence of labelled :class:`~pyg_fsar.data.SkeletonSequence`. Clips of the latter are
            read for their labels.

    Shapes:
        - **output:** ``[len(dataset)]`` int64

    Raises:
        ValueError: If a clip has no label, or one that is no whole number.
        TypeError: If the dataset holds something else than clips.
    """
    if hasattr(dataset, "labels"):
        return torch.as_tensor(dataset.labels)
    if not hasattr(dataset, "__len__"):
        raise TypeError(
            f"the dataset is of type {type(dataset).__name__}, which has no length; give a "
            "sequence, such as list(clips)"
        )
    if isinstance(dataset, Subset) and hasattr(dataset.dataset, "labels"):
        return labels_of(dataset.dataset)[torch.as_tensor(dataset.indices, dtype=torch.long)]
    labels = []
    for number in range(len(dataset)):
        clip = dataset[number]
        if not isinstance(clip, SkeletonSequence):
            raise TypeError(
                f"clip {number} of the dataset is of type {type(clip).__name__}; give a sequence "
                "of SkeletonSequence"
            )
        if clip.y is None:
            raise ValueError(
                f"clip {number} of the dataset has no label; give one with "
                "SkeletonSequence.from_bodies(..., y=label)"
            )
        label = clip.y.item() if isinstance(clip.y, Tensor) else clip.y
        if not isinstance(label, SupportsIndex) or not 0 <= int(label) < 2**63:
            raise ValueError(
                f"clip {number} of the dataset has label {str(label)[:50]!r}; labels must be whole "
                "numbers of at least 0"
            )
        labels.append(int(label))
    return torch.tensor(labels, dtype=torch.long)


def gather_clips(dataset: Any, numbers: Iterable[int]) -> list[SkeletonSequence]:
    """Several clips of a dataset, with one call where it has ``__getitems__``.

    Args:
        dataset: As for :func:`labels_of`.
        numbers: Positions in the dataset.
    """
    numbers = list(numbers)
    if hasattr(dataset, "__getitems__"):
        return dataset.__getitems__(numbers)
    return [dataset[number] for number in numbers]


def sources_of(dataset: Any) -> Tensor | None:
    """Number of the dataset that each clip comes from, of those joined in one.

    Args:
        dataset: As for :func:`labels_of`; None comes out of one that has no ``sources``.
    """
    if isinstance(dataset, Subset):
        sources = sources_of(dataset.dataset)
        return None if sources is None else sources[torch.as_tensor(dataset.indices)]
    sources = getattr(dataset, "sources", None)
    return None if sources is None else torch.as_tensor(sources)


def class_names_of(dataset: Any) -> Sequence[str]:
    """Name of each class, indexed by label; the numbers themselves where there are no names.

    Args:
        dataset: As for :func:`labels_of`.
    """
    if isinstance(dataset, Subset):
        return class_names_of(dataset.dataset)
    if hasattr(dataset, "class_names"):
        return dataset.class_names
    return [str(label) for label in range(int(labels_of(dataset).max()) + 1)]
