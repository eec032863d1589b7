import math

import pytest
import torch

from pyg_fsar.matching import dtw, soft_alignment, soft_dtw


def naive(cost, gamma):
    """Soft-DTW of one pair in float64, cell by cell, with plain autograd."""
    cost = cost.double()
    total = {(-1, -1): cost.new_zeros(())}
    for i in range(cost.size(0)):
        for j in range(cost.size(1)):
            before = [total[c] for c in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if c in total]
            total[i, j] = cost[i, j] - gamma * torch.logsumexp(-torch.stack(before) / gamma, 0)
    return total[cost.size(0) - 1, cost.size(1) - 1]


def numpy_free_value(cost, gamma):
    """Soft-DTW of one long pair in float64 without autograd."""
    cost = (cost.double() / gamma).tolist()
    row = [0.0] + [math.inf] * len(cost[0])
    for line in cost:
        new = [math.inf]
        for j, d in enumerate(line):
            before = (row[j], row[j + 1], new[j])
            least = min(before)
            new.append(d + least - math.log(sum(math.exp(least - b) for b in before)))
        row = new
    return gamma * row[-1]


SHAPES = [(1, 1), (1, 4), (5, 1), (3, 6), (6, 3), (5, 5)]
GAMMAS = [1e-3, 1e-2, 0.1, 1.0, 10.0, 1e3]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gamma", GAMMAS)
def test_value_and_gradient_equal_the_naive_recursion(shape, gamma):
    cost = torch.rand(3, *shape, requires_grad=True)
    weight = torch.randn(3)
    value = soft_dtw(cost, gamma)
    expected = torch.stack([naive(pair, gamma) for pair in cost])
    torch.testing.assert_close(value.double(), expected, rtol=1e-4, atol=1e-6)
    (gradient,) = torch.autograd.grad((value * weight).sum(), cost)
    (expected,) = torch.autograd.grad((expected * weight).sum(), cost)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("gamma", [1e-2, 1.0, 1e3])
def test_gradcheck(gamma):
    cost = torch.rand(2, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda cost: soft_dtw(cost, gamma), cost)


@pytest.mark.parametrize("gamma", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_finite_and_accurate_at_length_512(gamma, scale):
    cost = (scale * torch.rand(1, 512, 500)).requires_grad_()
    value = soft_dtw(cost, gamma)
    assert value.item() == pytest.approx(numpy_free_value(cost.detach()[0], gamma), rel=1e-4)
    value.sum().backward()
    assert cost.grad.isfinite().all()
    # A path visits the first and the last cell with certainty.
    assert cost.grad[0, 0, 0] == pytest.approx(1, abs=0.02)
    assert cost.grad[0, -1, -1] == pytest.approx(1, abs=1e-6)


def test_bounds_and_limit():
    cost = torch.rand(20, 7, 9, dtype=torch.float64)
    values = torch.stack([soft_dtw(cost, gamma) for gamma in (1e-6, 1e-2, 1.0, 100.0)])
    assert (values.diff(dim=0) <= 0).all(), "more smoothing takes in more paths"
    torch.testing.assert_close(values[0], dtw(cost), atol=1e-4, rtol=0)
    # With zero costs the value counts the paths, which the Delannoy numbers do: D(3, 3) = 63.
    assert soft_dtw(torch.zeros(4, 4), 1.0).item() == pytest.approx(-math.log(63))


def test_transposed_pairs_give_the_same():
    cost = torch.rand(4, 5, 8)
    torch.testing.assert_close(soft_dtw(cost.mT, 0.1), soft_dtw(cost, 0.1))


def test_batch_shapes():
    cost = torch.rand(2, 3, 4, 5)
    value = soft_dtw(cost, 0.1)
    assert value.shape == (2, 3)
    torch.testing.assert_close(value[1, 2], soft_dtw(cost[1, 2], 0.1))
    assert soft_dtw(cost[:0], 0.1).shape == (0, 3)


@pytest.mark.parametrize("padding", [0.0, torch.nan, torch.inf, -torch.inf])
def test_ragged_pairs_equal_trimmed_pairs(padding):
    n = torch.tensor([[1, 4, 6], [6, 2, 3]])
    m = torch.tensor([[7, 1, 7], [2, 2, 5]])
    cost = torch.rand(2, 3, 6, 7)
    for q, s in torch.cartesian_prod(torch.arange(2), torch.arange(3)).tolist():
        cost[q, s, n[q, s] :] = padding
        cost[q, s, :, m[q, s] :] = padding
    cost.requires_grad_()
    value = soft_dtw(cost, 0.1, lengths=(n, m))
    (gradient,) = torch.autograd.grad(value.sum(), cost)
    alignment = soft_alignment(cost, 0.1, lengths=(n, m))
    torch.testing.assert_close(alignment, gradient)
    for q, s in torch.cartesian_prod(torch.arange(2), torch.arange(3)).tolist():
        rows, columns = int(n[q, s]), int(m[q, s])
        trimmed = cost[q, s, :rows, :columns].detach().requires_grad_()
        expected = soft_dtw(trimmed, 0.1)
        torch.testing.assert_close(value[q, s], expected)
        (expected,) = torch.autograd.grad(expected, trimmed)
        torch.testing.assert_close(gradient[q, s, :rows, :columns], expected)
        assert (gradient[q, s, rows:] == 0).all() and (gradient[q, s, :, columns:] == 0).all()


def test_lengths_broadcast():
    cost, n, m = torch.rand(2, 3, 6, 7), torch.tensor([4, 6]), torch.tensor([7, 1, 2])
    value = soft_dtw(cost, 0.1, lengths=(n[:, None], m))
    full = soft_dtw(cost, 0.1, lengths=(n[:, None].expand(2, 3), m.expand(2, 3)))
    torch.testing.assert_close(value, full)
    torch.testing.assert_close(soft_dtw(cost, 0.1, lengths=(6, 7)), soft_dtw(cost, 0.1))


def test_infinite_cost_forbids_a_cell():
    cost = torch.rand(6, 6, dtype=torch.float64)
    band = (torch.arange(6)[:, None] - torch.arange(6)).abs() > 1
    large = cost.masked_fill(band, 1e3)
    forbidden = cost.masked_fill(band, torch.inf).requires_grad_()
    value = soft_dtw(forbidden, 0.1)
    torch.testing.assert_close(value, soft_dtw(large, 0.1))
    value.backward()
    assert (forbidden.grad[band] == 0).all() and forbidden.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    cost = torch.rand(3, 8, 8).to(dtype).requires_grad_()
    value = soft_dtw(cost, 0.01)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, soft_dtw(cost.float(), 0.01), rtol=0, atol=0)
    value.sum().backward()
    assert cost.grad.dtype == dtype


def test_alignment_is_a_distribution_of_paths():
    alignment = soft_alignment(torch.rand(3, 5, 7, dtype=torch.float64), 0.3)
    assert (alignment >= 0).all() and (alignment <= 1 + 1e-9).all()
    assert (alignment.sum(-1) >= 1 - 1e-9).all(), "every frame is matched at least once"
    assert (alignment.sum(-2) >= 1 - 1e-9).all()


def test_a_second_derivative_raises():
    cost = torch.rand(3, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(soft_dtw(cost, 0.1), cost, create_graph=True)
    with pytest.raises(RuntimeError, match=r"no second derivative.*finite differences"):
        gradient.square().sum().backward()
    with pytest.raises(RuntimeError, match=r"no second derivative.*finite differences"):
        soft_alignment(cost, 0.1).square().sum().backward()


def test_compiles_without_graph_break():
    def loss(cost, n, m):
        return soft_dtw(2 * cost, 0.1, lengths=(n, m)).sum() + soft_dtw(cost, 0.1).sum()

    cost = torch.rand(3, 4, 5, requires_grad=True)
    n, m = torch.tensor([1, 4, 3]), torch.tensor([5, 2, 3])
    expected = torch.autograd.grad(loss(cost, n, m), cost)
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(torch.autograd.grad(compiled(cost, n, m), cost), expected)


@pytest.mark.parametrize("gamma", [0, -1.0, math.inf, math.nan])
def test_bad_gamma(gamma):
    with pytest.raises(ValueError, match="gamma must be a positive number"):
        soft_dtw(torch.rand(3, 3), gamma)
    with pytest.raises(ValueError, match="gamma must be a positive number"):
        soft_alignment(torch.rand(3, 3), gamma)


def test_gamma_is_not_learned():
    with pytest.raises(TypeError, match="gamma must be a plain number, got a tensor that requires"):
        soft_dtw(torch.rand(3, 3), torch.nn.Parameter(torch.tensor(0.1)))
