from __future__ import annotations

import math
import statistics

import pytest
import torch

from pyg_fsar.metrics import accuracy, mean_confidence_interval


def test_accuracy() -> None:
    logits = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [-3.0, -2.0]])
    assert accuracy(logits, torch.tensor([0, 1, 1, 1])) == 0.75


def test_accuracy_refuses_what_does_not_fit() -> None:
    for logits, y in [(torch.rand(4, 2), torch.zeros(3)), (torch.rand(4), torch.zeros(4))]:
        with pytest.raises(ValueError, match=r"\[Q, N\]"):
            accuracy(logits, y)
    with pytest.raises(ValueError, match="at least one query"):
        accuracy(torch.rand(0, 2), torch.zeros(0))


def test_interval() -> None:
    values = [0.2, 0.4, 0.9, 0.5]
    mean, half = mean_confidence_interval(values)
    assert mean == pytest.approx(statistics.mean(values))
    assert half == pytest.approx(1.96 * statistics.stdev(values) / 2, rel=1e-4)
    assert mean_confidence_interval(torch.tensor(values), 0.99)[1] > half
    assert mean_confidence_interval([0.7]) == (0.7, math.inf)


def test_interval_covers_the_mean_as_often_as_it_says() -> None:
    covered = 0
    for _ in range(500):
        mean, half = mean_confidence_interval(torch.randn(100) + 3, confidence=0.9)
        covered += abs(mean - 3) < half
    assert 0.85 < covered / 500 < 0.95


def test_interval_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        mean_confidence_interval([])
    with pytest.raises(ValueError, match="between 0 and 1"):
        mean_confidence_interval([1.0, 2.0], confidence=95)
