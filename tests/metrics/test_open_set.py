from __future__ import annotations

import pytest
import torch
from sklearn.metrics import roc_auc_score

from pyg_fsar.metrics import auroc, expected_calibration_error, threshold_at


@pytest.mark.parametrize("step", [1e-6, 0.5])  # without and with equal scores
def test_auroc_equals_that_of_scikit_learn(step: float) -> None:
    torch.manual_seed(0)
    known = (torch.randn(40) + 1).div(step).round() * step
    unknown = torch.randn(30).div(step).round() * step
    expected = roc_auc_score([1] * 40 + [0] * 30, torch.cat([known, unknown]))
    assert auroc(known, unknown) == pytest.approx(expected, abs=1e-9)
    assert auroc(unknown, known) == pytest.approx(1 - expected, abs=1e-9)
    assert auroc(known, known) == pytest.approx(0.5)


@pytest.mark.parametrize("false_alarms", [0.0, 0.05, 0.1, 0.5, 1.0])
def test_no_more_than_the_fraction_passes_a_threshold(false_alarms: float) -> None:
    scores = torch.arange(20.0)[torch.randperm(20)]
    passed = (scores > threshold_at(scores, false_alarms)).double().mean()
    assert passed == pytest.approx(false_alarms)
    few = scores[:3]
    assert (few > threshold_at(few, false_alarms)).double().mean() <= false_alarms


def test_calibration_error() -> None:
    sure = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert expected_calibration_error(sure, torch.tensor([0, 0, 1, 1])) == 0
    assert expected_calibration_error(sure, torch.tensor([0, 0, 1, 0])) == 0.25
    # By hand: two queries with 0.6, of which one is right, and one with 0.9 that is right.
    rows = torch.tensor([[0.6, 0.4], [0.4, 0.6], [0.1, 0.9]])
    error = expected_calibration_error(rows, torch.tensor([0, 0, 1]), num_bins=10)
    assert error == pytest.approx((2 * 0.1 + 0.1) / 3, abs=1e-6)


def test_refuse_what_does_not_fit() -> None:
    some, none = torch.rand(3), torch.rand(0)
    for pair in ((some, none), (none, some)):
        with pytest.raises(ValueError, match="one known and one unknown"):
            auroc(*pair)
    with pytest.raises(ValueError, match="NaN"):
        auroc(some, torch.tensor([torch.nan]))
    for scores, fraction in ((none, 0.1), (some, 1.5), (some, float("nan"))):
        with pytest.raises(ValueError, match=r"false_alarms must be in 0\.\.1"):
            threshold_at(scores, fraction)
    for y in (torch.zeros(2), torch.zeros(3, 1)):
        with pytest.raises(ValueError, match=r"\[Q, N\]"):
            expected_calibration_error(torch.rand(3, 2), y)
    with pytest.raises(ValueError, match="num_bins"):
        expected_calibration_error(torch.rand(3, 2), torch.zeros(3), num_bins=0)
