import pytest
import torch

from pyg_fsar.matching import TCMHM, bimhm, build_matcher, tcmhm


def published(cost, weight):
    """The published formula for one pair, cell by cell, with the border rows repeated."""
    rows, columns = cost.shape
    before = after = 0.0
    for i in range(rows):
        for j in range(columns):
            before += max(0.0, float(cost[i, j] - cost[max(i - 1, 0), j]))
            after += max(0.0, float(cost[i, j] - cost[min(i + 1, rows - 1), j]))
    to_support = sum(min(row) for row in cost.tolist()) / rows
    to_query = sum(min(column) for column in cost.t().tolist()) / columns
    cells = rows * columns
    return 0.5 * (to_support + to_query) + weight * (before / cells + after / cells)


@pytest.mark.parametrize("weight", [0.1, 0.7])
def test_equals_the_published_formula(weight):
    cost = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    expected = [[published(pair, weight) for pair in row] for row in cost]
    torch.testing.assert_close(tcmhm(cost, weight), torch.tensor(expected).double())


def test_ragged_pairs_equal_trimmed_ones():
    cost = torch.rand(3, 4, 5, dtype=torch.float64)
    n, m = torch.tensor([3, 1, 4]), torch.tensor([2, 4, 5])
    sizes = list(zip(n.tolist(), m.tolist(), strict=True))
    trimmed = [pair[:a, :b] for pair, (a, b) in zip(cost, sizes, strict=True)]
    expected = [published(pair.clone(), 0.1) for pair in trimmed]
    for pair, (a, b) in zip(cost, sizes, strict=True):
        pair[a:] = pair[:, b:] = torch.nan
    cost.requires_grad_()
    distances = tcmhm(cost, lengths=(n, m))
    torch.testing.assert_close(distances, torch.tensor(expected).double())
    distances.sum().backward()
    assert cost.grad.isfinite().all()


def test_its_limits():
    cost = torch.rand(3, 4, 5)
    torch.testing.assert_close(tcmhm(cost, 0.0), bimhm(cost))
    steady = torch.rand(3, 1, 5).expand(3, 4, 5)  # nothing changes from frame to frame
    torch.testing.assert_close(tcmhm(steady), bimhm(steady))
    assert tcmhm(cost[:, :1]).shape == (3,)  # one frame has no step


def test_gradcheck():
    cost = torch.rand(2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(tcmhm, cost)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_refuses_a_weight_out_of_range(value):
    for make in (lambda: build_matcher("tcmhm", consistency=value), lambda: TCMHM(value)):
        with pytest.raises(ValueError, match="consistency must be 0 or more and finite"):
            make()
    with pytest.raises(ValueError, match="consistency must be 0 or more and finite"):
        tcmhm(torch.rand(2, 2), value)
