import copy

import pytest
import torch
from torch import nn

from pyg_fsar.kernels import use_backend
from pyg_fsar.nn.norm.apply_norm import apply_norm

SHAPE = (2, 3, 5, 32)


def step(norm, dropout, residual, x):
    """Output, gradients and running statistics after one step."""
    norm, x = copy.deepcopy(norm), x.clone().requires_grad_()
    residual = None if residual is None else residual.clone().requires_grad_()
    out = apply_norm(x, norm, dropout, residual, relu=True)
    (out.cos() * torch.arange(out.numel()).view_as(out)).sum().backward()
    grads = [p.grad for p in (x, residual, *norm.parameters()) if p is not None]
    return [out, *grads, *norm.buffers()]


@pytest.mark.parametrize("with_residual", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm1d(32),
        nn.BatchNorm1d(32, momentum=0.4, eps=0.1),
        nn.BatchNorm1d(32, momentum=None),
        nn.BatchNorm1d(32, affine=False),
        nn.BatchNorm1d(32, track_running_stats=False),
        nn.LayerNorm(32),
    ],
    ids=str,
)
def test_kernel_or_not_makes_no_difference(norm, training, with_residual):
    norm = copy.deepcopy(norm).double().train(training)
    x, residual = torch.randn(2, *SHAPE, dtype=torch.float64)
    residual = residual if with_residual else None
    result = step(norm, nn.Dropout(0.0), residual, x)
    with use_backend("vectorised"):
        expected = step(norm, nn.Dropout(0.0), residual, x)
    torch.testing.assert_close(result, expected)


@pytest.mark.parametrize("relu", [True, False])
def test_order_of_steps(relu):
    norm, dropout = nn.BatchNorm1d(32), nn.Dropout(0.5)
    norm.bias.data += 100  # so that zeros come from dropout alone
    x, residual = torch.randn(SHAPE), torch.randn(SHAPE) - 50
    out = apply_norm(x, norm, dropout, residual, relu)
    kept = out > 0
    assert 0.3 < float(kept.float().mean()) < 0.7
    normalised = nn.functional.batch_norm(
        x.flatten(0, -2), None, None, norm.weight, norm.bias, training=True
    ).view_as(x)
    expected = kept * 2 * normalised + residual
    torch.testing.assert_close(out, expected.relu() if relu else expected)


def test_dropout_counts_in_training_only():
    norm, dropout = nn.BatchNorm1d(32), nn.Dropout(0.9).eval()
    norm.bias.data += 100
    assert (apply_norm(torch.randn(SHAPE), norm, dropout, relu=True) > 0).all()


@pytest.mark.parametrize("relu", [True, False])
def test_dropout_of_everything_leaves_the_residual(relu):
    residual = torch.randn(SHAPE)
    out = apply_norm(torch.randn(SHAPE), nn.BatchNorm1d(32), nn.Dropout(1.0), residual, relu)
    torch.testing.assert_close(out, residual.relu() if relu else residual)


@pytest.mark.parametrize("relu", [True, False])
def test_one_row_has_no_statistics(relu):
    with pytest.raises(ValueError, match="more than 1 value"):
        apply_norm(torch.randn(1, 32), nn.BatchNorm1d(32), relu=relu)


def test_strided_input():
    x = torch.randn(5, 32, 3, 2).permute(3, 2, 0, 1)
    norm = nn.BatchNorm1d(32)
    torch.testing.assert_close(
        apply_norm(x, norm, relu=True), apply_norm(x.contiguous(), norm, relu=True)
    )


def test_float64_in_a_float32_norm_is_refused_as_by_the_norm_itself():
    with pytest.raises(RuntimeError):
        apply_norm(torch.randn(SHAPE).double(), nn.BatchNorm1d(32), relu=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_residual_of_another_type(dtype):
    x, residual = torch.randn(SHAPE), torch.randn(SHAPE, dtype=dtype)
    norm = nn.BatchNorm1d(32)
    expected = (norm(x.flatten(0, -2)).view_as(x) + residual).relu()
    torch.testing.assert_close(apply_norm(x, norm, residual=residual, relu=True), expected)


def test_hooks_on_the_norm_are_called():
    norm, seen = nn.BatchNorm1d(32), []
    norm.register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    out = apply_norm(torch.randn(SHAPE), norm, relu=True)
    torch.testing.assert_close(seen[0].relu().view(SHAPE), out)
