import pytest
import torch
from torch.nn.functional import pad

from pyg_fsar.matching import otam, otam_alignment


def naive(cost, lam):
    """OTAM of one pair in float64, cell by cell over the padded matrix, with plain autograd."""

    def one_way(cost):
        cost = pad(cost, (1, 1))
        rows, columns = cost.shape
        total = {(0, 0): cost[0, 0]}
        for j in range(1, columns):
            total[0, j] = total[0, j - 1] + cost[0, j]
        for i in range(1, rows):
            total[i, 0] = cost[i, 0]
            for j in range(1, columns):
                before = [total[i - 1, j - 1], total[i, j - 1]]
                if j in (1, columns - 1):
                    before.append(total[i - 1, j])
                total[i, j] = cost[i, j] - lam * torch.logsumexp(-torch.stack(before) / lam, 0)
        return total[rows - 1, columns - 1]

    return one_way(cost.double()) + one_way(cost.double().t())


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (2, 2), (3, 6), (6, 3), (5, 5)])
@pytest.mark.parametrize("lam", [0.01, 0.1, 1.0])
def test_value_and_gradient_equal_the_naive_recursion(shape, lam):
    cost = torch.rand(3, *shape, requires_grad=True)
    value = otam(cost, lam)
    expected = torch.stack([naive(pair, lam) for pair in cost])
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-5)
    (gradient,) = torch.autograd.grad(value.sum(), cost)
    (expected,) = torch.autograd.grad(expected.sum(), cost)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-4)


def test_gradcheck():
    cost = torch.rand(2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(otam, cost)


def test_finite_for_long_clips_and_little_smoothing():
    cost = (2 * torch.rand(4, 64, 64)).requires_grad_()
    value = otam(cost, lam=0.01)
    torch.testing.assert_close(value[0].double(), naive(cost[0], 0.01), rtol=1e-4, atol=1e-4)
    value.sum().backward()
    assert cost.grad.isfinite().all()


def test_both_directions():
    cost = torch.rand(3, 5, 7)
    torch.testing.assert_close(otam(cost), otam(cost.mT))


@pytest.mark.parametrize("lam", [0, -0.1, float("nan")])
def test_bad_lam(lam):
    with pytest.raises(ValueError, match="lam must be a positive number"):
        otam(torch.rand(3, 3), lam)


def test_lam_is_not_learned():
    with pytest.raises(TypeError, match="lam must be a plain number, got a tensor that requires"):
        otam(torch.rand(3, 3), torch.nn.Parameter(torch.tensor(0.1)))


def test_bounds_and_limit():
    cost = torch.rand(20, 7, 9, dtype=torch.float64)
    values = torch.stack([otam(cost, lam) for lam in (1e-6, 1e-2, 1.0, 100.0)])
    assert (values.diff(dim=0) <= 0).all(), "more smoothing takes in more paths"
    # With free ends, the cheapest path through all columns costs at least the least of each.
    least = cost.amin(-2).sum(-1) + cost.amin(-1).sum(-1)
    assert (values[0] >= least - 1e-4).all()


@pytest.mark.parametrize("lam", [1e-3, 1e3])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_finite_at_length_256(lam, scale):
    cost = (scale * torch.rand(1, 256, 250)).requires_grad_()
    value = otam(cost, lam)
    value.sum().backward()
    assert value.isfinite().all() and cost.grad.isfinite().all()
    # Each direction goes through every frame of one clip.
    assert (cost.grad.sum(-1) > 0.99).all() and (cost.grad.sum(-2) > 0.99).all()


def test_alignment_is_zero_beyond_the_lengths():
    n, m = torch.tensor([2, 5]), torch.tensor([6, 3])
    cells = otam_alignment(torch.rand(2, 5, 6), 0.1, lengths=(n, m))
    for pair, rows, columns in zip(cells, n, m, strict=True):
        assert not pair[rows:].any() and not pair[:, columns:].any()
        assert (pair[:rows, :columns].sum(0) > 1 - 1e-5).all()
        assert (pair[:rows, :columns].sum(1) > 1 - 1e-5).all()


def test_a_second_derivative_raises():
    cost = torch.rand(3, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(otam(cost), cost, create_graph=True)
    with pytest.raises(RuntimeError, match=r"no second derivative.*finite differences"):
        gradient.sum().backward()
    with pytest.raises(RuntimeError, match=r"no second derivative.*finite differences"):
        otam_alignment(torch.rand(3, 4, requires_grad=True)).square().sum().backward()
