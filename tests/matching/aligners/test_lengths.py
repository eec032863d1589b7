"""What all aligners refuse, and refuse in the same words."""

import numpy as np
import pytest
import torch

from pyg_fsar import matching
from pyg_fsar.data import can_read
from pyg_fsar.matching import (
    JEANIE,
    Views,
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
# By name: the aligner, and the axis of views that its costs have.
EVERY = {name: (kind(), ()) for name, kind in matching.ALIGNERS.items()}
EVERY |= {"jeanie": (JEANIE(), ()), "views": (Views(), ())}
EVERY |= {f"{name} over views": (EVERY[name][0].over_views, (3,)) for name in ("jeanie", "views")}
every_aligner = pytest.mark.parametrize(("aligner", "views"), EVERY.values(), ids=EVERY)
BANDED = [dtw, dtw_path, soft_alignment, soft_dtw]


@pytest.mark.parametrize("aligner", [*ALIGNERS, otam_alignment, soft_alignment])
@pytest.mark.parametrize("shape", [(3,), (2, 0, 3), (2, 3, 0)])
def test_cost_needs_two_axes_and_a_frame(aligner, shape):
    with pytest.raises(ValueError, match=r"cost must be \[..., N, M\]"):
        aligner(torch.rand(shape))


@every_aligner
def test_every_aligner_refuses_empty_costs(aligner, views):
    for shape in ((*views, 0, 3), (*views, 3, 0), (2, 0, *views[1:], 3, 0)):
        with pytest.raises(ValueError, match=r"cost must be \[..., N, M\] with at least one"):
            aligner(torch.rand(shape))
    assert aligner(torch.rand(0, *views, 3, 3)).shape == (0,)
    if views:
        for shape in ((0, 3, 3), (2, 0, 3, 3), (3, 3)):
            for lengths in (None, (3, 3)):
                with pytest.raises(ValueError, match=r"\[..., K, N, M\] with an axis of views"):
                    aligner(torch.rand(shape), lengths=lengths)


@every_aligner
def test_nan_and_infinite_costs_stay_with_their_pair(aligner, views):
    cost = torch.rand(3, *views, 4, 4)
    cost[1] = torch.inf
    cost[2, ..., 0, 0] = torch.nan
    total = aligner(cost)
    assert torch.equal(total[:1], aligner(cost[:1]))
    assert total[1] == torch.inf and total[2].isnan()


@every_aligner
@pytest.mark.parametrize("sign", [1, -1])
def test_no_finite_costs_make_an_infinite_distance(aligner, views, sign):
    # Larger ones than the aligner can add are refused, with lengths and without a batch too.
    cost = torch.rand(2, *views, 4, 4)
    for factor in (1e20, 1e28, 1e29, 1e30, 1e38):
        cost[1] = sign * factor
        try:
            assert aligner(cost).isfinite().all()
        except FloatingPointError as error:
            assert factor >= 1e28 and f"pair {'1' if not views else ''}" in str(error)
    cost[1] = sign * 3e38
    for arguments in ((cost,), (cost[1],), (cost, (torch.tensor([1, 4]), torch.tensor([1, 4])))):
        with pytest.raises(FloatingPointError, match=r"pair \d+ has a frame cost of -?3e\+38"):
            aligner(*arguments)


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
