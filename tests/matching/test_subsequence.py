"""Open-begin alignment against a plain recursion over all begins."""

from __future__ import annotations

import numpy as np
import pytest

from pyg_fsar.matching import SubsequenceAligner


def unit(seed: int, count: int, width: int = 4) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, width))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def plain(reference: np.ndarray, stream: np.ndarray, penalty: float) -> tuple[float, int]:
    """The least cost of a path to the end of both, and the latest column where one begins."""
    best, begin = np.inf, -1
    for first in range(len(stream)):
        cost = 1 - reference @ stream[first:].T
        total = np.full((len(reference), cost.shape[1]), np.inf)
        total[0, 0] = 2 * cost[0, 0]
        for i in range(len(reference)):
            for t in range(cost.shape[1]):
                if i + t:
                    steps = [
                        total[i, t - 1] + cost[i, t] + penalty if t else np.inf,
                        total[i - 1, t] + cost[i, t] + penalty if i else np.inf,
                        total[i - 1, t - 1] + 2 * cost[i, t] if i and t else np.inf,
                    ]
                    total[i, t] = min(steps)
        if total[-1, -1] < best:
            best, begin = total[-1, -1], first
    return best / (2 * len(reference)), begin


@pytest.mark.parametrize("penalty", [0.0, 0.3])
def test_all_rows_and_begins(penalty: float) -> None:
    references, stream = [unit(1, 5), unit(2, 3), unit(3, 1)], unit(4, 12)
    aligner = SubsequenceAligner(references, penalty)
    for column, vector in enumerate(stream):
        distance, start = aligner.step(vector)
        for number, reference in enumerate(references):
            expected, begin = plain(reference, stream[: column + 1], penalty)
            assert distance[number] == pytest.approx(expected, abs=1e-5)
            assert start[number] == begin


def test_found_within_other_movement() -> None:
    reference = unit(1, 6)
    stream = np.concatenate([unit(2, 9), np.repeat(reference, 2, axis=0), unit(3, 9)])
    aligner = SubsequenceAligner([reference])
    results = [aligner.step(vector) for vector in stream]
    end = int(np.argmin([distance[0] for distance, _ in results]))
    assert results[end][0][0] == pytest.approx(0, abs=1e-6)
    assert end in (19, 20) and results[end][1][0] in (9, 10)


def test_forget_and_reset() -> None:
    reference = unit(1, 6)
    aligner = SubsequenceAligner([reference])
    for vector in reference[:-1]:
        aligner.step(vector)
    aligner.forget(0)  # nothing is as old
    distance, start = aligner.step(reference[-1])
    assert (distance[0], start[0]) == (pytest.approx(0, abs=1e-6), 0)
    aligner.forget(6)
    distance, start = aligner.step(reference[-1])
    assert distance[0] > 0.1 and start[0] == 6
    aligner.reset()
    assert aligner.column == 0
    first = [aligner.step(vector)[0][0] for vector in reference]
    assert first[-1] == pytest.approx(0, abs=1e-6)


def test_refused() -> None:
    for references in ([], [np.zeros((0, 3))], [unit(1, 2, 3), unit(2, 2, 4)]):
        with pytest.raises(ValueError, match="references must be one or more sequences"):
            SubsequenceAligner(references)
    with pytest.raises(ValueError, match="penalty must be 0 or more"):
        SubsequenceAligner([unit(1, 2)], -1)
