"""Scores of actions found in recordings, by cases made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from pyg_fsar.metrics import edit_accuracy, frame_f1, segment_f1

TRUTH = [(0, 9, "wave"), (20, 29, "bow"), (40, 59, "kick")]


@pytest.mark.parametrize(
    ("found", "edit", "frames", "segments"),
    [
        (TRUTH, 1, 1, 1),
        ([], 0, 0, 0),
        # In the right order, each half covered.
        ([(0, 4, "wave"), (20, 24, "bow"), (40, 49, "kick")], 1, 2 * 20 / 60, 1),
        # The order of reports does not count.
        (TRUTH[::-1], 1, 1, 1),
        # A second report of the same action.
        ([*TRUTH[:2], (40, 49, "kick"), (50, 59, "kick")], 3 / 4, 1, 2 * 3 / 7),
        # One label wrong.
        ([*TRUTH[:2], (40, 59, "bow")], 2 / 3, 2 * 20 / 80, 2 * 2 / 6),
        # Nothing was there.
        ([*TRUTH, (70, 79, "wave")], 3 / 4, 2 * 40 / 90, 2 * 3 / 7),
        # The right label at the wrong place.
        ([(10, 19, "wave"), *TRUTH[1:]], 1, 2 * 30 / 80, 2 * 2 / 6),
        # Further entries, as Detection has them, do not count.
        ([(*action, 0.5) for action in TRUTH], 1, 1, 1),
    ],
)
def test_cases_by_hand(found: Any, edit: float, frames: float, segments: float) -> None:
    assert edit_accuracy(found, TRUTH) == pytest.approx(edit)
    assert frame_f1(found, TRUTH) == pytest.approx(frames)
    assert segment_f1(found, TRUTH) == pytest.approx(segments)
    # Both sides count alike.
    assert edit_accuracy(TRUTH, found) == pytest.approx(edit)
    assert frame_f1(TRUTH, found) == pytest.approx(frames)


def test_nothing_to_find() -> None:
    assert edit_accuracy([], []) == frame_f1([], []) == segment_f1([], []) == 1
    assert edit_accuracy(TRUTH, []) == frame_f1(TRUTH, []) == segment_f1(TRUTH, []) == 0


def test_overlap_decides() -> None:
    found = [(5, 14, "wave")]  # 5 frames of 15 in common
    assert segment_f1(found, TRUTH[:1], 1 / 3) == 1
    assert segment_f1(found, TRUTH[:1], 0.34) == 0
    assert segment_f1([(10, 19, "wave")], TRUTH[:1], 0) == 0  # side by side


def test_refused() -> None:
    with pytest.raises(ValueError, match=r"an action is \(start, end, label\)"):
        edit_accuracy([(3, 2, "wave")], TRUTH)
    with pytest.raises(ValueError, match="actions overlap"):
        frame_f1([(0, 5, "wave"), (5, 9, "bow")], TRUTH)
    with pytest.raises(ValueError, match="overlap must be in"):
        segment_f1(TRUTH, TRUTH, 2)
