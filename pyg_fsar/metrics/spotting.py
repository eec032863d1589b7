"""How well actions are found in recordings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["edit_accuracy", "frame_f1", "segment_f1"]

#: ``(start, end, label, ...)``: first and last frame of an action; further entries do not count.
Action = Sequence[Any]


def edit_accuracy(found: Sequence[Action], truth: Sequence[Action]) -> float:
    r"""How alike the orders of labels are: one minus the edit distance of both, divided by the
    length of the longer one.

    After "Segmental Spatiotemporal CNNs for Fine-grained Action Segmentation" (ECCV 2016). Places
    and lengths do not count; an action that is reported twice does.

    Args:
        found: Actions reported.
        truth: True actions.

    Returns:
        Between 0 and 1, which it is without any action in both.

    Raises:
        ValueError: If an action ends before it begins.
    """
    ours, theirs = ([action[2] for action in _in_order(actions)] for actions in (found, truth))
    before = list(range(len(theirs) + 1))
    for row, label in enumerate(ours, 1):
        now = [row]
        for column, other in enumerate(theirs):
            now.append(min(before[column] + (label != other), before[column + 1] + 1, now[-1] + 1))
        before = now
    return 1 - before[-1] / max(len(ours), len(theirs), 1)


def frame_f1(found: Sequence[Action], truth: Sequence[Action]) -> float:
    """F1 score of frames: those with the right label against all that are in an action, reported or
    true.

    Args:
        found: Actions reported, which do not overlap.
        truth: True actions, which do not overlap.

    Returns:
        Between 0 and 1, which it is without any action in both.

    Raises:
        ValueError: If an action ends before it begins, or two overlap.
    """
    ours, theirs = _in_order(found), _in_order(truth)
    for actions in (ours, theirs):
        for first, second in pairwise(actions):
            if second[0] <= first[1]:
                raise ValueError(f"actions overlap: {tuple(first)[:3]} and {tuple(second)[:3]}")
    right = sum(
        max(0, min(a[1], b[1]) - max(a[0], b[0]) + 1) for a in ours for b in theirs if a[2] == b[2]
    )
    total = sum(action[1] - action[0] + 1 for action in [*ours, *theirs])
    return 2 * right / total if total else 1.0


def segment_f1(found: Sequence[Action], truth: Sequence[Action], overlap: float = 0.5) -> float:
    """F1 score of actions: one is right if a true one of its label overlaps with it enough.

    After "Temporal Convolutional Networks for Action Segmentation and Detection" (CVPR 2017). Each
    true action counts once, so a second report of it is wrong.

    Args:
        found: Actions reported.
        truth: True actions.
        overlap: The least intersection over union.

    Returns:
        Between 0 and 1, which it is without any action in both.

    Raises:
        ValueError: If an action ends before it begins, or the overlap is not in 0..1.
    """
    if not 0 <= overlap <= 1:
        raise ValueError(f"overlap must be in 0..1, got {overlap}")
    left, right = _in_order(truth), 0
    for action in _in_order(found):
        shares = [_overlap(action, other) if other[2] == action[2] else 0.0 for other in left]
        if shares and max(shares) >= max(overlap, np.finfo(float).tiny):
            left.pop(int(np.argmax(shares)))
            right += 1
    total = len(found) + len(truth)
    return 2 * right / total if total else 1.0


def _overlap(first: Action, second: Action) -> float:
    common = min(first[1], second[1]) - max(first[0], second[0]) + 1
    union = max(first[1], second[1]) - min(first[0], second[0]) + 1
    return max(0, common) / union


def _in_order(actions: Sequence[Action]) -> list[Action]:
    for start, end, label, *_ in actions:
        if end < start:
            raise ValueError(f"an action is (start, end, label), got {(start, end, label)}")
    return sorted(actions, key=lambda action: tuple(action[:2]))
