"""What all warping aligners have in common, against every path there is."""

from functools import partial

import pytest
import torch
import torch.autograd.forward_ad as fwAD
from torch.nn.functional import pad

from pyg_fsar.kernels import use_backend
from pyg_fsar.matching import dtw, dtw_path, otam, otam_alignment, soft_alignment, soft_dtw
from pyg_fsar.matching.aligners import warping

SHAPES = [(1, 1), (1, 4), (3, 1), (2, 2), (3, 4), (4, 3), (4, 4)]
WARPING = [dtw, partial(soft_dtw, gamma=0.1), otam]
BANDED = [dtw, partial(soft_dtw, gamma=0.1)]


@pytest.fixture(params=["vectorised", "cpp"])
def backend(request):
    try:
        with use_backend(request.param):
            yield request.param
    except RuntimeError as error:
        pytest.skip(str(error))


def all_paths(rows, columns, allowed=lambda i, j: True, free_ends=False):
    """Every path from the first to the last cell, by exhaustion."""

    def extend(path):
        i, j = path[-1]
        if (i, j) == (rows - 1, columns - 1):
            yield path
        steps = [(i + 1, j + 1), (i, j + 1)]
        if not free_ends or j in (0, 1, columns - 1):
            steps.append((i + 1, j))
        for step in steps:
            if step[0] < rows and step[1] < columns and allowed(*step):
                yield from extend([*path, step])

    return list(extend([(0, 0)]))


def soft_minimum(cost, paths, gamma):
    """Soft minimum over the paths, and how likely a path is to visit each cell."""
    total = torch.stack([cost[tuple(zip(*path, strict=True))].sum() for path in paths])
    cells = torch.zeros_like(cost)
    for path, share in zip(paths, (-total / gamma).softmax(0), strict=True):
        cells[tuple(zip(*path, strict=True))] += share
    return -gamma * (-total / gamma).logsumexp(0), cells


def banded(rows, columns, radius):
    """Cells in the band, one column after the other along the longer clip."""
    surplus = columns - rows
    return lambda i, j: min(0, surplus) - radius <= j - i <= max(0, surplus) + radius


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("band", [None, 0, 1])
def test_soft_dtw_takes_in_every_path(shape, band, backend):
    cost = torch.rand(shape, dtype=torch.float64)
    allowed = (lambda i, j: True) if band is None else banded(*shape, band)
    value, cells = soft_minimum(cost, all_paths(*shape, allowed), gamma=0.3)
    torch.testing.assert_close(soft_dtw(cost, 0.3, band=band), value)
    torch.testing.assert_close(soft_alignment(cost, 0.3, band=band), cells)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("band", [None, 0, 1])
def test_dtw_is_the_cheapest_of_all_paths(shape, band, backend):
    cost = torch.rand(5, *shape)
    allowed = (lambda i, j: True) if band is None else banded(*shape, band)
    paths = all_paths(*shape, allowed)
    for pair, value in zip(cost, dtw(cost, band=band), strict=True):
        total = [pair[tuple(zip(*path, strict=True))].sum() for path in paths]
        best = min(range(len(paths)), key=lambda number: total[number])
        torch.testing.assert_close(value, total[best])
        assert dtw_path(pair, band=band).tolist() == [list(cell) for cell in paths[best]]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lam", [0.01, 0.3, 10.0])
def test_otam_takes_in_every_path_in_both_directions(shape, lam, backend):
    cost = torch.rand(shape, dtype=torch.float64)
    value, cells = torch.zeros((), dtype=torch.float64), torch.zeros_like(cost)
    for way, part in ((cost, cells), (cost.t(), cells.t())):
        padded = pad(way, (1, 1))
        paths = all_paths(*padded.shape, free_ends=True)
        one_way, one_cells = soft_minimum(padded, paths, lam)
        value += one_way
        part += one_cells[:, 1:-1]
    torch.testing.assert_close(otam(cost, lam), value)
    torch.testing.assert_close(otam_alignment(cost, lam), cells)


@pytest.mark.parametrize("aligner", WARPING)
def test_query_and_support_may_be_exchanged(aligner):
    cost = torch.rand(4, 5, 8)
    torch.testing.assert_close(aligner(cost.mT), aligner(cost))
    n, m = torch.tensor([5, 1, 3, 4]), torch.tensor([8, 2, 6, 1])
    torch.testing.assert_close(aligner(cost.mT, lengths=(m, n)), aligner(cost, lengths=(n, m)))


@pytest.mark.parametrize("aligner", BANDED)
@pytest.mark.parametrize("band", [None, 1])
def test_time_may_run_backwards(aligner, band):
    for shape in ((6, 6), (5, 8), (8, 5)):
        cost = torch.rand(4, *shape)
        torch.testing.assert_close(aligner(cost.flip(-1, -2), band=band), aligner(cost, band=band))
        torch.testing.assert_close(aligner(cost.mT, band=band), aligner(cost, band=band))


@pytest.mark.parametrize("aligner", BANDED)
def test_a_band_of_zero_is_the_diagonal_and_a_wide_one_is_none(aligner, backend):
    cost = torch.rand(4, 6, 6)
    diagonal = cost.diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(aligner(cost, band=0), diagonal.sum(-1))
    assert dtw_path(cost[0], band=0).tolist() == [[i, i] for i in range(6)]
    torch.testing.assert_close(aligner(cost, band=5), aligner(cost), rtol=0, atol=0)
    values = torch.stack([aligner(cost, band=band) for band in range(6)])
    assert (values.diff(dim=0) <= 1e-6).all(), "a wider band takes in more paths"
    assert (values[0] > values[-1] + 1e-3).any()


@pytest.mark.parametrize("aligner", BANDED)
@pytest.mark.parametrize("band", [0, 2])
@pytest.mark.parametrize("padding", [0.0, torch.nan, torch.inf])
def test_band_of_ragged_pairs_is_that_of_trimmed_pairs(aligner, band, padding, backend):
    n, m = torch.tensor([1, 7, 3, 7]), torch.tensor([8, 1, 5, 8])
    cost = torch.rand(4, 7, 8)
    for pair, rows, columns in zip(cost, n, m, strict=True):
        pair[rows:] = pair[:, columns:] = padding
    cost.requires_grad_()
    values = aligner(cost, lengths=(n, m), band=band)
    (gradient,) = torch.autograd.grad(values.sum(), cost)
    for value, part, pair, rows, columns in zip(values, gradient, cost, n, m, strict=True):
        trimmed = pair[:rows, :columns].detach().requires_grad_()
        expected = aligner(trimmed, band=band)
        torch.testing.assert_close(value, expected)
        (expected,) = torch.autograd.grad(expected, trimmed)
        torch.testing.assert_close(part, pad(expected, (0, 8 - int(columns), 0, 7 - int(rows))))


@pytest.mark.parametrize(
    ("aligner", "shares"),
    [
        (partial(soft_dtw, gamma=0.1), partial(soft_alignment, gamma=0.1)),
        (partial(soft_dtw, gamma=0.1, band=1), partial(soft_alignment, gamma=0.1, band=1)),
        (otam, otam_alignment),
    ],
)
def test_gradient_is_the_alignment(aligner, shares):
    cost = torch.rand(2, 2, 6, 7, requires_grad=True)
    for lengths in (None, (torch.tensor([6, 3]), torch.tensor([[2], [7]]))):
        (gradient,) = torch.autograd.grad(aligner(cost, lengths=lengths).sum(), cost)
        torch.testing.assert_close(shares(cost, lengths=lengths), gradient, rtol=0, atol=0)


@pytest.mark.parametrize("aligner", [partial(soft_dtw, band=1), otam])
@pytest.mark.parametrize("smoothing", [1e-2, 1.0, 1e3])
def test_gradcheck_of_ragged_pairs(aligner, smoothing):
    cost = torch.rand(2, 4, 3, dtype=torch.float64, requires_grad=True)
    lengths = (torch.tensor([4, 2]), torch.tensor([1, 3]))
    assert torch.autograd.gradcheck(lambda cost: aligner(cost, smoothing, lengths=lengths), cost)


@pytest.mark.parametrize("aligner", [soft_dtw, partial(soft_dtw, band=4), otam])
@pytest.mark.parametrize("smoothing", [1e-3, 1e-1, 1e3])
def test_float32_is_accurate(aligner, smoothing, backend):
    cost = (2 * torch.rand(3, 30, 24)).requires_grad_()
    exact = cost.detach().double().requires_grad_()
    value, expected = aligner(cost, smoothing), aligner(exact, smoothing)
    assert value.dtype == torch.float32 and expected.dtype == torch.float64
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-5)
    (gradient,) = torch.autograd.grad(value.sum(), cost)
    (expected,) = torch.autograd.grad(expected.sum(), exact)
    # Costs in units of the smoothing are rounded, and that is what a gradient sees.
    room = 1e-5 + 1e-6 * 60 / smoothing
    torch.testing.assert_close(gradient.double(), expected, rtol=room, atol=room)


@pytest.mark.parametrize("aligner", BANDED)
def test_a_band_of_long_clips_leaves_what_it_forbids_alone(aligner, backend):
    cost = torch.rand(3, 64, 60, dtype=torch.float64)
    ahead = torch.arange(60) - torch.arange(64)[:, None]
    beyond = (ahead < -4 - 6) | (ahead > 6)
    forbidden = cost.masked_fill(beyond, torch.inf).requires_grad_()
    unread = cost.masked_fill(beyond, torch.nan).requires_grad_()
    expected, value = aligner(forbidden), aligner(unread, band=6)
    torch.testing.assert_close(value, expected, rtol=0, atol=0)
    (expected,) = torch.autograd.grad(expected.sum(), forbidden)
    (gradient,) = torch.autograd.grad(value.sum(), unread)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=0)
    assert not gradient[:, beyond].any()


@pytest.mark.parametrize("aligner", [*WARPING, partial(soft_dtw, gamma=0.1, band=1)])
def test_compiles_without_graph_break(aligner):
    def loss(cost, n, m):
        return aligner(2 * cost, lengths=(n, m)).sum() + aligner(cost).sum()

    torch.compiler.reset()
    cost = torch.rand(3, 4, 5, requires_grad=True)
    n, m = torch.tensor([1, 4, 3]), torch.tensor([5, 2, 3])
    expected = torch.autograd.grad(loss(cost, n, m), cost)
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(torch.autograd.grad(compiled(cost, n, m), cost), expected)


@pytest.mark.parametrize("aligner", WARPING)
def test_keep_weights_only_for_a_gradient(aligner, monkeypatch):
    cost = torch.rand(3, 4, 5, requires_grad=True)
    expected = aligner(cost)
    assert expected.requires_grad
    monkeypatch.setattr(warping, "warp", None)
    torch.testing.assert_close(aligner(cost.detach()), expected)
    with torch.no_grad():
        torch.testing.assert_close(aligner(cost), expected)
    with torch.inference_mode():
        torch.testing.assert_close(aligner(cost), expected)


@pytest.mark.parametrize("aligner", WARPING)
def test_one_compiled_function_serves_with_and_without_a_gradient(aligner):
    torch.compiler.reset()
    cost = torch.rand(3, 4, 5, requires_grad=True)
    expected = aligner(cost)
    compiled = torch.compile(aligner, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(cost), expected)
    (gradient,) = torch.autograd.grad(compiled(cost).sum(), cost)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), cost)[0])
    torch.testing.assert_close(compiled(cost.detach()), expected)


@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.vmap, torch.func.jacfwd])
def test_refuses_transforms_of_torch_func(transform):
    with pytest.raises(RuntimeError, match=r"torch\.autograd\.grad"):
        transform(lambda cost: soft_dtw(cost, 0.1).sum())(torch.rand(2, 4, 4))


def sum_of(function):
    return lambda *arguments, **options: function(*arguments, **options).sum()


DIFFERENTIABLE = [soft_dtw, dtw, otam]


@pytest.mark.parametrize("aligner", [*DIFFERENTIABLE, soft_alignment, otam_alignment])
def test_refuses_forward_mode(aligner):
    with fwAD.dual_level():
        cost = fwAD.make_dual(torch.rand(4, 4), torch.rand(4, 4))
        with pytest.raises(
            RuntimeError, match=r"no forward-mode derivative.*torch\.autograd\.grad"
        ):
            aligner(cost)


@pytest.mark.parametrize("aligner", DIFFERENTIABLE)
@pytest.mark.parametrize("of", [torch.autograd.functional.hessian, torch.autograd.functional.jvp])
def test_refuses_second_derivatives(aligner, of):
    arguments = [torch.rand(3, 3)] * (2 if of is torch.autograd.functional.jvp else 1)
    with pytest.raises(RuntimeError, match=r"no second derivative.*create_graph=True"):
        of(sum_of(aligner), *arguments)


def test_a_pair_without_a_path_is_infinitely_far():
    cost = torch.rand(2, 4, 5)
    cost[0, 2] = torch.inf
    cost.requires_grad_()
    for aligner in DIFFERENTIABLE:
        total = aligner(cost)
        assert total[0] == torch.inf and total[1].isfinite()
        (grad,) = torch.autograd.grad(torch.exp(-total).sum(), cost)
        assert not grad[0].any() and grad[1].any() and grad.isfinite().all()
    assert not soft_alignment(cost.detach())[0].any()
    assert dtw_path(cost[0]).shape == (0, 2)


@pytest.mark.parametrize("aligner", DIFFERENTIABLE)
def test_refuses_costs_beyond_its_range(aligner):
    with pytest.raises(FloatingPointError, match=r"frame cost of 1e.33, .* scale costs down"):
        aligner(torch.full((2, 3, 3), 1e33))


def test_refuses_matrices_that_would_take_minutes_without_a_band():
    cost = torch.zeros(()).expand(20_000, 20_000)
    for aligner in (soft_dtw, dtw, otam, soft_alignment, dtw_path):
        with pytest.raises(ValueError, match=r"20000 x 2000.*band=.*ResampleFrames"):
            aligner(cost)
    with pytest.raises(ValueError, match="band="):
        soft_dtw(cost[:, :5000])
