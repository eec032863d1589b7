from __future__ import annotations

import itertools

import pytest
import torch

from pyg_fsar.matching import JEANIE, build_matcher, jeanie, soft_dtw


def cell_by_cell(cost, gamma):
    """The published recursion for one pair, ``[K, N, M]``."""
    views, rows, columns = cost.shape
    r = {}
    for i, j, k in itertools.product(range(rows), range(columns), range(views)):
        before = [
            r[k + v, a, b]
            for v in (-1, 0, 1)
            for a, b in ((i - 1, j - 1), (i - 1, j), (i, j - 1))
            if (k + v, a, b) in r
        ]
        least = 0 if (i, j) == (0, 0) else -gamma * (torch.stack(before) / -gamma).logsumexp(0)
        r[k, i, j] = cost[k, i, j] + least
    ends = torch.stack([r[k, rows - 1, columns - 1] for k in range(views)])
    return -gamma * (ends / -gamma).logsumexp(0)


@pytest.mark.parametrize(
    "shape", [(1, 4, 5), (2, 3, 4), (5, 4, 3), (3, 1, 4), (3, 4, 1), (4, 1, 1)]
)
def test_equals_the_recursion_cell_by_cell(shape):
    cost = torch.rand(2, *shape, dtype=torch.float64, requires_grad=True)
    other = cost.detach().clone().requires_grad_()
    expected = torch.stack([cell_by_cell(pair, 0.3) for pair in other])
    distances = jeanie(cost, 0.3)
    torch.testing.assert_close(distances, expected)
    weight = torch.tensor([1.0, -2.0])
    torch.testing.assert_close(
        torch.autograd.grad(distances @ weight.double(), cost),
        torch.autograd.grad(expected @ weight.double(), other),
    )


def test_gradcheck():
    cost = torch.rand(2, 3, 4, 3, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([4, 2]), torch.tensor([3, 2])
    for options in ((0.5,), (0.05, lengths)):
        assert torch.autograd.gradcheck(lambda x, o=options: jeanie(x, *o), cost)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_view_is_soft_dtw(dtype):
    cost = torch.rand(3, 6, 5, dtype=dtype)
    lengths = torch.tensor([6, 3, 1]), torch.tensor([2, 5, 1])
    for given in (None, lengths):
        torch.testing.assert_close(jeanie(cost[:, None], 0.1, given), soft_dtw(cost, 0.1, given))
        torch.testing.assert_close(JEANIE(0.1)(cost, given), soft_dtw(cost, 0.1, given))


def test_ragged_pairs_equal_trimmed_ones():
    cost = torch.rand(2, 2, 3, 5, 4, dtype=torch.float64)
    n, m = torch.tensor([[5], [2]]), torch.tensor([4, 1])
    expected = [
        [cell_by_cell(cost[q, s, :, : n[q, 0], : m[s]], 0.2) for s in range(2)] for q in range(2)
    ]
    for q, s in itertools.product(range(2), range(2)):
        cost[q, s, :, n[q, 0] :] = cost[q, s, :, :, m[s] :] = torch.nan
    cost.requires_grad_()
    distances = jeanie(cost, 0.2, (n, m))
    torch.testing.assert_close(distances, torch.tensor(expected).double())
    distances.sum().backward()
    assert cost.grad.isfinite().all()


def test_a_path_changes_the_view_by_one_at_a_time():
    # The one cheap view of each of three frames: 0, 1, 2 can be followed, 0, 2, 0 cannot.
    def cost(cheap):
        cost = torch.full((3, 3, 3), 10.0)
        for i, view in enumerate(cheap):
            cost[view, i] = 0.0
        return cost

    assert jeanie(cost((0, 1, 2)), 0.01) < 0.1
    assert jeanie(cost((0, 2, 0)), 0.01) > 9


def test_forbidden_cells_and_large_costs():
    cost = torch.rand(2, 3, 3, 3)
    cost[0, :, 1] = torch.inf  # no way through
    cost.requires_grad_()
    distances = jeanie(cost, 0.1)
    assert distances[0].isinf() and distances[1].isfinite()
    distances.sum().backward()
    assert cost.grad.isfinite().all() and not cost.grad[0].any() and cost.grad[1].any()
    assert jeanie(1e6 * cost.detach()[1:], 1e-3).isfinite().all()


def test_refuses():
    with pytest.raises(ValueError, match=r"\[..., K, N, M\] with an axis of views"):
        jeanie(torch.rand(3, 4))
    with pytest.raises(ValueError, match="gamma must be a positive number"):
        build_matcher("jeanie", gamma=0.0)
    with pytest.raises(ValueError, match=r"lengths n must lie in 1\.\.4"):
        jeanie(torch.rand(2, 3, 4, 4), 0.1, (torch.tensor([5, 1]), 4))
    with pytest.raises(TypeError, match="floating-point"):
        jeanie(torch.ones(2, 3, 3).long())
