import pytest
import torch
from torch.nn.functional import pad

from pyg_fsar.matching import otam


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
