import pytest
import torch
from torch.library import opcheck

from pyg_fsar.matching.kernels import warp, warp_backward


@pytest.mark.parametrize("gamma", [0.0, 0.5])
@pytest.mark.parametrize("shape", [(3, 4, 6), (2, 5, 1), (1, 1, 1)])
def test_operators_keep_torch_rules(gamma, shape):
    cost = torch.rand(shape, requires_grad=True)
    n, m = torch.full(shape[:1], shape[1]), torch.full(shape[:1], shape[2])
    opcheck(warp, (cost, n, m, gamma))
    total, weights = warp(cost.detach(), n, m, gamma)
    opcheck(warp_backward, (torch.ones_like(total), weights, n, m))


@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_weights_of_the_predecessors_sum_to_one_in_every_cell(gamma):
    _, weights = warp(torch.rand(2, 4, 6), torch.tensor([4, 4]), torch.tensor([6, 6]), gamma)
    for i in range(4):
        for j in range(6):
            torch.testing.assert_close(weights[:, i + j, i].sum(0), torch.ones(2))
