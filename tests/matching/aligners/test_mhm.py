import torch

from pyg_fsar.matching import bimhm, build_matcher, mhm


def test_equals_its_definition():
    cost = torch.rand(2, 3, 4, 5)
    for q in range(2):
        for s in range(3):
            rows = [min(row) for row in cost[q, s].tolist()]
            torch.testing.assert_close(mhm(cost)[q, s], torch.tensor(sum(rows) / len(rows)))


def test_both_directions_are_bimhm():
    cost = torch.rand(3, 4, 5)
    n, m = torch.tensor([4, 2, 1]), torch.tensor([5, 3, 2])
    torch.testing.assert_close((mhm(cost) + mhm(cost.mT)) / 2, bimhm(cost))
    both = mhm(cost, (n, m)) + mhm(cost.mT, (m, n))
    torch.testing.assert_close(both / 2, bimhm(cost, (n, m)))


def test_padding_does_not_count():
    cost = torch.rand(2, 4, 5, dtype=torch.float64)
    expected = torch.stack([mhm(cost[0, :3, :2]), mhm(cost[1, :1, :4])])
    cost[0, 3:] = cost[0, :, 2:] = cost[1, 1:] = cost[1, :, 4:] = torch.nan
    cost.requires_grad_()
    distances = mhm(cost, (torch.tensor([3, 1]), torch.tensor([2, 4])))
    torch.testing.assert_close(distances, expected)
    distances.sum().backward()
    assert cost.grad.isfinite().all()


def test_what_only_the_support_shows_costs_nothing():
    query = torch.randn(1, 3, 4, 2)
    support = torch.cat([query, torch.randn(1, 2, 4, 2)], dim=1)
    y = torch.zeros(1).long()
    assert build_matcher("mhm").distances(support, y, query) < 1e-6
    assert build_matcher("mhm").distances(query, y, support) > 1e-3


def test_gradcheck():
    cost = torch.rand(2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(mhm, cost)
