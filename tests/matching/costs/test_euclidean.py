import pytest
import torch

from pyg_fsar.matching import EuclideanCost, euclidean_cost


@pytest.mark.parametrize("squared", [True, False])
def test_equals_the_norm_of_the_difference(squared):
    x, y = torch.randn(3, 4, 5, 2), torch.randn(2, 6, 5, 2)
    difference = x.flatten(2)[:, None, :, None] - y.flatten(2)[None, :, None]
    expected = difference.norm(dim=-1)
    if squared:
        expected = expected.square()
    torch.testing.assert_close(euclidean_cost(x, y, squared), expected)


@pytest.mark.parametrize("squared", [True, False])
def test_gradient_is_exact(squared):
    x = torch.randn(2, 3, 4, 2, dtype=torch.float64, requires_grad=True)
    y = torch.randn(2, 2, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, y: euclidean_cost(x, y, squared), (x, y))


@pytest.mark.parametrize("squared", [True, False])
def test_equal_and_empty_frames_are_at_distance_zero_with_a_finite_gradient(squared):
    x = (100 * torch.randn(2, 4, 5, 2)).index_fill(1, torch.tensor(2), 0).requires_grad_()
    cost = EuclideanCost(squared).within(x)
    assert (cost >= 0).all()
    assert (cost[:, 2, 2] == 0).all()
    cost.sum().backward()
    assert x.grad.isfinite().all()


def test_repr_tells_the_option():
    assert "squared=False" in repr(EuclideanCost(squared=False))
