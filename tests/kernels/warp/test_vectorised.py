import pytest
import torch

from pyg_fsar.kernels.warp import vectorised


@pytest.mark.parametrize("free_ends", [False, True])
@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_weights_of_the_predecessors_sum_to_one_in_every_cell(gamma, free_ends):
    n, m = torch.tensor([4, 4]), torch.tensor([6, 6])
    _, weights = vectorised.forward(torch.rand(2, 4, 6), n, m, gamma, free_ends, True)
    assert weights.shape == vectorised.weights_shape(2, 4, 6)
    for i in range(4):
        for j in range(6):
            torch.testing.assert_close(weights[:, i + j, i].sum(0), torch.ones(2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sums_up_in_full_precision(dtype):
    cost = torch.rand(1, 30, 30).to(dtype)
    length = torch.tensor([30])
    total, _ = vectorised.forward(cost, length, length, 0.1, False, True)
    expected, _ = vectorised.forward(cost.double(), length, length, 0.1, False, True)
    assert total.dtype == dtype
    assert torch.equal(total, expected.to(dtype))
