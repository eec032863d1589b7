import pytest
import torch
from torch.nn.functional import cosine_similarity

from pyg_fsar.matching import CosineCost, cosine_cost


def test_equals_cosine_similarity_of_every_pair_of_frames():
    x, y = torch.randn(3, 4, 5, 2), torch.randn(2, 6, 5, 2)
    expected = 1 - cosine_similarity(
        x.flatten(2)[:, None, :, None], y.flatten(2)[None, :, None], dim=-1
    )
    assert cosine_cost(x, y).shape == (3, 2, 4, 6)
    torch.testing.assert_close(cosine_cost(x, y), expected)


def test_does_not_depend_on_memory_layout_or_scale():
    x, y = torch.randn(3, 4, 5, 2), torch.randn(2, 6, 5, 2)
    channels_first = x.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    torch.testing.assert_close(cosine_cost(channels_first, y), cosine_cost(x, y))
    torch.testing.assert_close(cosine_cost(1e3 * x, 1e-3 * y), cosine_cost(x, y))


def test_gradient_is_exact():
    x = torch.randn(2, 3, 4, 2, dtype=torch.float64, requires_grad=True)
    y = torch.randn(2, 2, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(cosine_cost, (x, y))


def test_empty_frame_costs_one_and_gets_no_gradient():
    x, y = torch.randn(1, 3, 4, 2), torch.randn(1, 3, 4, 2)
    x[0, 1] = y[0, 1] = y[0, 2] = 0
    x.requires_grad_()
    y.requires_grad_()
    cost = cosine_cost(x, y)
    assert (cost[0, 0, 1] == 1).all()
    assert (cost[0, 0, :, 1:] == 1).all()
    cost.sum().backward()
    assert x.grad.isfinite().all() and y.grad.isfinite().all()
    assert (x.grad[0, 1] == 0).all() and (y.grad[0, 1:] == 0).all()
    assert (x.grad[0, 0] != 0).any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    x, y = torch.randn(2, 3, 25, 16).to(dtype), torch.randn(2, 3, 25, 16).to(dtype)
    cost = cosine_cost(x, y)
    assert cost.dtype == torch.float32
    torch.testing.assert_close(cost, cosine_cost(x.float(), y.float()))


def test_autocast_leaves_it_in_float32():
    x, y = torch.randn(2, 3, 25, 16), torch.randn(2, 3, 25, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        across, within = cosine_cost(x, y), CosineCost().within(x)
    torch.testing.assert_close(across, cosine_cost(x, y), rtol=0, atol=0)
    torch.testing.assert_close(within, CosineCost().within(x), rtol=0, atol=0)
