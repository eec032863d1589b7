import torch

from pyg_fsar.matching import bimhm


def test_equals_its_definition():
    cost = torch.rand(2, 3, 4, 5)
    for q in range(2):
        for s in range(3):
            rows = [min(row) for row in cost[q, s].tolist()]
            columns = [min(column) for column in cost[q, s].t().tolist()]
            expected = 0.5 * (sum(rows) / len(rows) + sum(columns) / len(columns))
            torch.testing.assert_close(bimhm(cost)[q, s], torch.tensor(expected))


def test_order_of_frames_does_not_matter():
    cost = torch.rand(4, 5)
    shuffled = cost[torch.randperm(4)][:, torch.randperm(5)]
    torch.testing.assert_close(bimhm(shuffled), bimhm(cost))


def test_gradcheck():
    cost = torch.rand(2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(bimhm, cost)
