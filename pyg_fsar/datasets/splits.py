"""Splits of classes, and random subsets of clips."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

__all__ = ["class_split", "draw_per_class"]


def class_split(
    split: str, classes: Iterable[int], val: Iterable[int], test: Iterable[int]
) -> list[int]:
    """Class labels of a split; few-shot splits share no class.

    Args:
        split: ``"train"`` (the classes of neither of the others), ``"val"``, ``"test"`` or
            ``"all"``.
        classes: All class labels.
        val: Those of the validation split.
        test: Those of the test split.

    Raises:
        ValueError: If the split is unknown.
    """
    splits = {"val": sorted(val), "test": sorted(test), "all": sorted(classes)}
    splits["train"] = sorted(set(splits["all"]).difference(splits["val"], splits["test"]))
    if split not in splits:
        raise ValueError(f"unknown split '{split}'; known are train, val, test, all")
    return splits[split]


def draw_per_class(
    labels: np.ndarray, names: np.ndarray, num_clips: int, seed: int = 2022
) -> np.ndarray:
    """Mask of at most so many clips of each class, drawn at random.

    The draw of a class depends on the seed and the names of its clips alone, not on their order.

    Args:
        labels: Label of each clip.
        names: Name of each clip.
        num_clips: How many to keep of each class.
        seed: Seed of the draw.
    """
    keep = np.zeros(len(labels), dtype=bool)
    order = np.argsort(names, kind="stable")
    for label in np.unique(labels):
        clips = order[labels[order] == label]
        keep[np.random.default_rng([seed, label]).permutation(clips)[:num_clips]] = True
    return keep
