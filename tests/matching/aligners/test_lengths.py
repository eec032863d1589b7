"""What all aligners refuse, and refuse in the same words."""

import numpy as np
import pytest
import torch

from pyg_fsar.data import can_read
from pyg_fsar.matching import (
    bimhm,
    diagonal,
    dtw,
    dtw_path,
    otam,
    otam_alignment,
    soft_alignment,
    soft_dtw,
)

ALIGNERS = [bimhm, diagonal, dtw, otam, soft_dtw]
BANDED = [dtw, dtw_path, soft_alignment, soft_dtw]


@pytest.mark.parametrize("aligner", [*ALIGNERS, otam_alignment, soft_alignment])
@pytest.mark.parametrize("shape", [(3,), (2, 0, 3), (2, 3, 0)])
def test_cost_needs_two_axes_and_a_frame(aligner, shape):
    with pytest.raises(ValueError, match=r"cost must be \[..., N, M\]"):
        aligner(torch.rand(shape))


@pytest.mark.parametrize("aligner", ALIGNERS)
def test_cost_must_be_floating_point(aligner):
    with pytest.raises(TypeError, match="floating-point tensor"):
        aligner(torch.ones(3, 3, dtype=torch.long))
    with pytest.raises(TypeError, match="got list"):
        aligner([[1.0]])


@pytest.mark.parametrize("aligner", ALIGNERS)
@pytest.mark.parametrize(
    ("lengths", "error", "match"),
    [
        (torch.tensor([3, 3]), ValueError, "a pair"),
        ((torch.tensor([3.0, 3.0]), 3), TypeError, "lengths n must be integers"),
        ((3, torch.tensor([True, False])), TypeError, "lengths m must be integers"),
        ((torch.tensor([3, 3, 3]), 3), ValueError, "do not broadcast to the batch shape"),
        ((torch.tensor([3, 0]), 3), ValueError, r"lengths n must lie in 1..3, got 0"),
        ((3, torch.tensor([4, 1])), ValueError, r"lengths m must lie in 1..3, got 4"),
    ],
)
def test_bad_lengths(aligner, lengths, error, match):
    with pytest.raises(error, match=match):
        aligner(torch.rand(2, 3, 3), lengths=lengths)


@pytest.mark.parametrize("aligner", ALIGNERS)
@pytest.mark.parametrize("padding", [torch.nan, torch.inf])
def test_padding_changes_nothing_and_gets_no_gradient(aligner, padding):
    n = torch.tensor([1, 3, 5])
    m = n if aligner is diagonal else torch.tensor([4, 2, 5])
    cost = torch.full((3, 5, 5), padding)
    trimmed = [torch.rand(rows, columns) for rows, columns in zip(n, m, strict=True)]
    for pair, values in zip(cost, trimmed, strict=True):
        pair[: values.size(0), : values.size(1)] = values
    cost.requires_grad_()
    value = aligner(cost, lengths=(n, m))
    torch.testing.assert_close(value, torch.stack([aligner(pair) for pair in trimmed]))
    value.sum().backward()
    assert cost.grad.isfinite().all()
    assert (cost.grad[cost.isnan() | cost.isinf()] == 0).all()
    assert (cost.grad.sum((1, 2)) > 0).all()


@pytest.mark.parametrize("aligner", BANDED)
@pytest.mark.parametrize(
    ("band", "error", "match"),
    [
        (-1, ValueError, "band must not be negative, got -1"),
        (2.0, TypeError, r"band must be a whole number of frames, or None, got 2\.0"),
        (True, TypeError, "band must be a whole number"),
        ("wide", TypeError, "band must be a whole number"),
    ],
)
def test_bad_band(aligner, band, error, match):
    with pytest.raises(error, match=match):
        aligner(torch.rand(3, 3), band=band)


@pytest.mark.parametrize("aligner", BANDED)
def test_any_kind_of_whole_number_is_a_band(aligner):
    cost = torch.rand(5, 5)
    assert torch.equal(aligner(cost, band=np.int64(1)), aligner(cost, band=1))


@pytest.mark.parametrize("aligner", ALIGNERS)
def test_compiles_whole_with_lengths(aligner):
    torch.compiler.reset()
    cost, lengths = torch.rand(3, 4, 4), torch.tensor([2, 4, 1])
    compiled = torch.compile(aligner, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(
        compiled(cost, lengths=(lengths, lengths)), aligner(cost, lengths=(lengths, lengths))
    )


def test_values_elsewhere_are_not_read():
    assert can_read(torch.ones(2))
    assert not can_read(torch.ones(2, device="meta"))
    torch.compiler.reset()
    assert not torch.compile(lambda x: x + can_read(x), backend="eager")(torch.zeros(1))
