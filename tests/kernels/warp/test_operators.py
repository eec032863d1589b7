"""What all backends have in common, on the CPU; Triton's has its own tests of the same."""

import math

import pytest
import torch
from torch.library import opcheck

from pyg_fsar.kernels import use_backend, warp, warp_backward, warp_total
from pyg_fsar.kernels.warp.vectorised import in_band

SHAPES = [(1, 1), (1, 5), (6, 1), (2, 2), (5, 9), (9, 4)]


@pytest.fixture(params=["vectorised", "cpp"], autouse=True)
def backend(request):
    try:
        with use_backend(request.param):
            yield request.param
    except RuntimeError as error:
        pytest.skip(str(error))


def naive(cost, gamma, free_ends):
    """Accumulated cost of one matrix, and its gradient, cell by cell in Python's floats."""
    rows, columns = cost.shape
    matrix, total, origin = cost.tolist(), {}, {}
    for i in range(rows):
        for j in range(columns):
            before = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
            if free_ends and j not in (0, 1, columns - 1):
                before.remove((i - 1, j))
            before = [cell for cell in before if total.get(cell, math.inf) < math.inf]
            least = min((total[cell] for cell in before), default=0.0 if i == j == 0 else math.inf)
            if gamma:
                powers = [math.exp((least - total[cell]) / gamma) for cell in before] or [1.0]
                shares = [power / sum(powers) for power in powers]
                least -= gamma * math.log(sum(powers))
            else:
                shares = [1.0 if total[cell] == least else 0.0 for cell in before]
                shares = [share * (k == shares.index(1.0)) for k, share in enumerate(shares)]
            total[i, j] = matrix[i][j] + least
            origin[i, j] = list(zip(before, shares, strict=False))
    share = torch.zeros(rows, columns, dtype=torch.float64)
    share[-1, -1] = 1
    cells = share.tolist()
    for (i, j), sources in reversed(origin.items()):
        for (k, l), part in sources:  # noqa: E741
            cells[k][l] += part * cells[i][j]
    return total[rows - 1, columns - 1], torch.tensor(cells, dtype=torch.float64)


def solved(cost, n, m, gamma, free_ends=False, band=None):
    total, weights = warp(cost, n, m, gamma, free_ends, band)
    return total, warp_backward(torch.ones_like(total), weights, n, m, *cost.shape[1:], band)


def full(cost):
    return tuple(torch.full(cost.shape[:1], size) for size in cost.shape[1:])


def banded(cost, radius):
    """One cost matrix with infinity beyond the band."""
    rows, columns = cost.shape
    low, high = min(0, columns - rows) - radius, max(0, columns - rows) + radius
    outside = [[not low <= j - i <= high for j in range(columns)] for i in range(rows)]
    return cost.masked_fill(torch.tensor(outside), torch.inf)


def assert_equal_naive(cost, n, m, gamma, free_ends, band=None):
    total, share = solved(cost, n, m, gamma, free_ends, band)
    exact = cost.dtype == torch.float64
    for k, (rows, columns) in enumerate(zip(n.tolist(), m.tolist(), strict=True)):
        pair = cost[k, :rows, :columns].double()
        pair = pair if band is None else banded(pair, band)
        value, cells = naive(pair, gamma, free_ends)
        assert total[k].item() == pytest.approx(value, rel=1e-12 if exact else 1e-5)
        expected = torch.zeros_like(share[k], dtype=torch.float64)
        expected[:rows, :columns] = cells
        rtol, atol = (1e-9, 1e-15) if exact else (1e-4, 1e-12)
        torch.testing.assert_close(share[k].double(), expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("free_ends", [False, True])
@pytest.mark.parametrize("gamma", [0.0, 1e-3, 0.1, 1.0, 1e3])
@pytest.mark.parametrize("shape", SHAPES)
def test_equal_the_naive_recursion(shape, gamma, free_ends, dtype):
    cost = torch.rand(3, *shape, dtype=dtype) * 2
    n, m = (torch.tensor([size, (size + 1) // 2, 1]) for size in shape)
    assert_equal_naive(cost, n, m, gamma, free_ends)


@pytest.mark.parametrize("gamma", [0.0, 1e-3, 1e3])
@pytest.mark.parametrize("shape", [(512, 24), (24, 512)])
def test_equal_the_naive_recursion_for_long_clips(shape, gamma):
    cost = torch.rand(1, *shape)
    assert_equal_naive(cost, *full(cost), gamma, False)


@pytest.mark.parametrize("free_ends", [False, True])
@pytest.mark.parametrize("gamma", [0.0, 0.01, 10.0])
def test_infinity_forbids_a_cell(gamma, free_ends):
    cost = torch.rand(4, 9, 8)
    cost[:, 1:, 2:-1][torch.rand(4, 8, 5) < 0.4] = torch.inf
    assert_equal_naive(cost, *full(cost), gamma, free_ends)
    _, share = solved(cost, *full(cost), gamma, free_ends)
    assert torch.all(share[cost == torch.inf] == 0)


@pytest.mark.parametrize("band", [None, 0, 1])
@pytest.mark.parametrize("gamma", [0.0, 1e-3, 1e3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_any_path_the_cost_is_infinite_and_has_no_gradient(gamma, band, dtype):
    cost = torch.rand(2, 5, 5, dtype=dtype)
    cost[0, 2] = torch.inf
    alone, _ = solved(cost[1:], *full(cost[1:]), gamma, band=band)
    cost.requires_grad_()
    total, _ = warp(cost, *full(cost), gamma, False, band)
    assert total[0] == math.inf and total[1] == alone
    assert torch.equal(warp_total(cost.detach(), *full(cost), gamma, False, band), total)
    (grad,) = torch.autograd.grad(total[total.isfinite()].sum() + 0 * total[0], cost)
    assert not grad[0].any() and grad[1].isfinite().all() and grad[1].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gamma", [0.0, 1e-3, 1e3])
@pytest.mark.parametrize("sign", [1, -1])
def test_finite_costs_that_look_infinite_are_refused(gamma, dtype, sign):
    unit = gamma or 1.0
    cost = torch.rand(3, 4, 5, dtype=dtype) * unit
    for kernel in (warp, warp_total):
        large = cost.clone()
        large[1] = sign * 1e31 * unit
        with pytest.raises(FloatingPointError, match=r"pair 1 has a frame cost of -?1e\+"):
            kernel(large, *full(cost), gamma, False)
        kernel(large[:, :1, :1] * 0, *full(cost[:, :1, :1]), gamma, False)
        # Within the range they are exact, and where no path goes they do not matter.
        large[1] = sign * 1e27 * unit
        total = kernel(large, *full(cost), gamma, False)
        total = total[0] if kernel is warp else total
        steps = 5 if sign > 0 else 8
        assert total[1].item() == pytest.approx(sign * steps * 1e27 * unit, rel=1e-5)
    cost[1, 0, -1] = 3e31 * unit
    assert warp_total(cost, *full(cost), gamma, False).isfinite().all()
    n, m = full(cost)
    cost[1, -1] = 1e31 * unit  # in the padding
    assert warp_total(cost, n - 1, m, gamma, False).isfinite().all()


def test_minus_infinity_is_refused():
    cost = torch.rand(1, 3, 3)
    cost[0, 1, 1] = -math.inf
    with pytest.raises(FloatingPointError, match="frame cost of -inf"):
        warp_total(cost, *full(cost), 0.1, False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("free_ends", [False, True])
@pytest.mark.parametrize("gamma", [0.0, 1e-3, 0.1, 1e3])
@pytest.mark.parametrize("band", [0, 1, 3, 10**12])
def test_a_band_is_infinite_cost(band, gamma, free_ends, dtype):
    for shape in [*SHAPES, (13, 17)]:
        cost = torch.rand(3, *shape, dtype=dtype) * 2
        n, m = (torch.tensor([size, (size + 1) // 2, 1]) for size in shape)
        assert_equal_naive(cost, n, m, gamma, free_ends, band)
        assert_equal_naive(cost, *full(cost), gamma, free_ends, band)


@pytest.mark.parametrize("gamma", [0.0, 0.1])
@pytest.mark.parametrize("band", [0, 2, 20])
@pytest.mark.parametrize("shape", [(40, 40), (150, 90)])
def test_a_band_of_pairs_that_differ_changes_nothing_but_time(shape, band, gamma):
    # More pairs than a block has, each with a band of its own; or rows for several segments.
    pairs = 71 if shape == (40, 40) else 2
    cost = torch.rand(pairs, *shape)
    cost[:, 1:-1, 1:-1][:, ::9, ::7] = torch.inf
    n, m = (torch.randint(1, size + 1, (pairs,)) for size in shape)
    n[0], m[0] = shape
    beyond = ~in_band(n, m, *shape, band)
    value, share = solved(cost.masked_fill(beyond, torch.inf), n, m, gamma)
    total, cells = solved(cost.masked_fill(beyond, torch.nan), n, m, gamma, band=band)
    assert torch.equal(warp_total(cost, n, m, gamma, False, band) < 1e25, total < 1e25)
    reached = value < 1e25
    assert torch.equal(total[reached], value[reached])
    assert torch.equal(cells[reached], share[reached])
    assert (total[~reached] > 1e25).all() and cells.isfinite().all()
    assert not cells[beyond].any()


@pytest.mark.parametrize("gamma", [0.0, 0.1])
def test_pairs_do_not_influence_each_other(gamma):
    # More than the lanes of a block, and not a multiple of them.
    cost = torch.rand(71, 6, 5)
    n, m = torch.randint(1, 7, (71,)), torch.randint(1, 6, (71,))
    total, share = solved(cost, n, m, gamma)
    for k in (0, 17, 70):
        rows, columns = int(n[k]), int(m[k])
        trimmed = cost[k : k + 1, :rows, :columns]
        alone, cells = solved(trimmed, *full(trimmed), gamma)
        assert torch.equal(alone[0], total[k])
        assert torch.equal(cells[0], share[k, :rows, :columns])
        assert share[k].count_nonzero() == cells.count_nonzero()


def test_of_equal_predecessors_the_diagonal_comes_first_then_up():
    _, share = solved(torch.ones(1, 4, 4), *full(torch.ones(1, 4, 4)), 0.0)
    assert torch.equal(share[0], torch.eye(4))
    cost = torch.tensor([[[1.0, -1.0], [-1.0, 0.0]]])
    _, share = solved(cost, *full(cost), 0.0)
    assert share[0].tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize("free_ends", [False, True])
@pytest.mark.parametrize("kernel", [warp_total, lambda *problem: warp(*problem)[0]])
@pytest.mark.parametrize("gamma", [0.0, 0.1])
def test_a_cost_that_is_not_a_number_shows(gamma, kernel, free_ends):
    # One such cell in each of 20 pairs, wherever it is, and 20 pairs without.
    cost = torch.rand(2, 20, 4, 5)
    cost[0].view(20, 20).diagonal().fill_(torch.nan)
    n, m = full(cost.flatten(0, 1))
    total = kernel(cost.flatten(0, 1), n, m, gamma, free_ends)
    assert total[:20].isnan().all()
    assert total[20:].isfinite().all()


@pytest.mark.parametrize("kernel", [warp_total, lambda *problem: warp(*problem)[0]])
@pytest.mark.parametrize("gamma", [0.0, 0.1])
@pytest.mark.parametrize("band", [0, 1])
def test_a_cost_that_is_not_a_number_shows_if_it_is_in_the_band(band, gamma, kernel):
    cost = torch.rand(25, 5, 5)
    cost.view(25, 25).diagonal().fill_(torch.nan)
    row, column = torch.meshgrid(torch.arange(5), torch.arange(5), indexing="ij")
    total = kernel(cost, *full(cost), gamma, False, band)
    assert torch.equal(total.isnan(), ((row - column).abs() <= band).flatten())


def test_takes_any_strides_and_no_pairs_at_all():
    cost, length = torch.rand(2, 6, 4).mT, torch.tensor(4)
    m = torch.tensor([6, 6])
    expected = solved(cost.contiguous(), torch.tensor([4, 4]), m, 0.1)
    for ours, theirs in zip(solved(cost, length.expand(2), m, 0.1), expected, strict=True):
        assert torch.equal(ours, theirs)
    total, share = solved(cost[:0], m[:0], m[:0], 0.1)
    assert total.shape == (0,) and share.shape == (0, 4, 6)


def test_no_share_is_denormal():
    # Weights of down to exp(-80), 20 of them in a row.
    cost = torch.rand(8, 40, 40)
    _, share = solved(cost, *full(cost), 0.0125)
    assert torch.all((share == 0) | (share >= 1e-30))
    assert torch.any(share == 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("free_ends", [False, True])
@pytest.mark.parametrize("gamma", [0.0, 1e-3, 0.1, 1e3])
def test_without_weights_the_value_is_the_same(gamma, free_ends, dtype):
    # Rows and pairs for several portions and blocks.
    for shape in ((1, 1, 1), (37, 24, 50), (2, 3, 300)):
        cost = torch.rand(shape, dtype=dtype)
        cost[0, 1:, 2:-1][:, ::3] = torch.inf
        n, m = (torch.randint(1, size + 1, shape[:1]) for size in shape[1:])
        expected, _ = warp(cost, n, m, gamma, free_ends)
        total = warp_total(cost, n, m, gamma, free_ends)
        close = 1e-6 if dtype == torch.float32 else 1e-14
        torch.testing.assert_close(total, expected, rtol=close if gamma else 0, atol=0)


def test_without_weights_there_is_no_gradient():
    cost = torch.rand(2, 3, 4, requires_grad=True)
    with pytest.raises(ValueError, match="warp_total has no gradient; call warp"):
        warp_total(cost, *full(cost), 0.1, False)
    with torch.no_grad():
        assert not warp_total(cost, *full(cost), 0.1, False).requires_grad


@pytest.mark.parametrize("free_ends, band", [(False, None), (True, None), (False, 0), (False, 1)])
def test_gradient_by_differences(free_ends, band):
    cost = torch.rand(3, 4, 5, dtype=torch.float64, requires_grad=True)
    n, m = torch.tensor([4, 2, 3]), torch.tensor([5, 5, 1])
    torch.autograd.gradcheck(lambda c: warp(c, n, m, 0.3, free_ends, band)[0].sin(), cost)


def test_second_derivative_is_refused():
    cost = torch.rand(1, 3, 3, requires_grad=True)
    total, _ = warp(cost, *full(cost), 0.1, False)
    (grad,) = torch.autograd.grad(total.sum(), cost, create_graph=True)
    with pytest.raises(RuntimeError, match=r"no second derivative.*create_graph=True"):
        grad.sum().backward()


@pytest.mark.parametrize(
    "shape, gamma, free_ends, band", [((3, 4, 6), 0.5, False, 9), ((2, 5, 1), 0.0, True, None)]
)
def test_keep_the_rules_of_torch(shape, gamma, free_ends, band):
    cost = torch.rand(shape, requires_grad=True)
    n, m = full(cost)
    # The band is wide, since weights are compared, and beyond a band they are not set.
    opcheck(warp, (cost, n, m, gamma, free_ends, band))
    problem = cost.detach(), n, m, gamma, free_ends, band
    opcheck(torch.ops.pyg_fsar.warp_total.default, problem)
    total, weights = warp(*problem)
    opcheck(warp_backward, (torch.ones_like(total), weights, n, m, *shape[1:], band))


def test_compile_with_their_gradient_and_without_a_break():
    def loss(cost, n, m):
        total, _ = warp(cost * cost, n, m, 0.1, False)
        return total.sin().sum()

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    for pairs in (3, 5):  # the second time with a dynamic shape
        cost = torch.rand(pairs, 4, 6, requires_grad=True)
        n, m = full(cost)
        for function in (loss, compiled):
            function(cost, n, m).backward()
            cost.grad, last = None, cost.grad
            if function is loss:
                expected = last
        torch.testing.assert_close(last, expected)
