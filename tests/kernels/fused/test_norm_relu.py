from importlib import import_module

import pytest
import torch
from torch import Tensor
from torch.library import opcheck

from pyg_fsar.kernels import has_kernel, norm_relu

N, C, EPS = 37, 16, 1e-5

pytestmark = pytest.mark.skipif(
    not has_kernel("norm_relu", C, torch.float64, torch.device("cpu")), reason="no C++ compiler"
)
both = pytest.mark.parametrize("with_residual", [True, False])


def inputs(with_residual, dtype=torch.float64, rows=N, channels=C):
    shapes = [(rows, channels), (channels,), (channels,)] + [(rows, channels)] * with_residual
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def expected_output(x, weight, bias, residual=None, keep=1.0, scale=1.0):
    mean, variance = x.mean(dim=0), x.var(dim=0, unbiased=False)
    y = keep * scale * ((x - mean) / (variance + EPS).sqrt() * weight + bias)
    return (y if residual is None else y + residual).relu(), mean, variance


def gradients(out, tensors):
    return torch.autograd.grad((out.cos() * torch.arange(out.numel()).view_as(out)).sum(), tensors)


@both
@pytest.mark.parametrize("rows", [2, N, 1000])
def test_equals_the_four_steps(with_residual, rows):
    tensors = inputs(with_residual, rows=rows)
    out, mean, variance = norm_relu(*tensors, eps=EPS)
    expected = expected_output(*tensors)
    torch.testing.assert_close((out, mean, variance), expected)
    torch.testing.assert_close(gradients(out, tensors), gradients(expected[0], tensors))


@both
def test_float32_keeps_the_digits_of_joints_far_from_the_origin(with_residual):
    tensors = [t.detach() for t in inputs(with_residual, rows=1000)]
    tensors[0] += 1000
    single = [t.float().requires_grad_() for t in tensors]
    double = [t.detach().double().requires_grad_() for t in single]
    out, _, variance = norm_relu(*single, eps=EPS)
    expected, _, expected_variance = expected_output(*double)
    torch.testing.assert_close(variance.double(), expected_variance, rtol=1e-5, atol=0)
    torch.testing.assert_close(out.double(), expected, rtol=1e-3, atol=1e-3)
    for grad, reference in zip(gradients(out, single), gradients(expected, double), strict=True):
        bound = 1e-3 * float(reference.abs().max())
        torch.testing.assert_close(grad.double(), reference, rtol=0, atol=bound)


@both
def test_gradients_are_those_of_differences(with_residual):
    tensors = inputs(with_residual, rows=5)
    assert torch.autograd.gradcheck(lambda *t: norm_relu(*t, eps=EPS)[0], tensors)


@both
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_second_gradients_are_those_of_differences(with_residual, dropout):
    def function(*tensors):
        torch.manual_seed(0)  # the same draws each time
        return norm_relu(*tensors, dropout=dropout, eps=EPS)[0]

    assert torch.autograd.gradgradcheck(function, inputs(with_residual, rows=5))


@both
def test_dropout_drops_in_both_passes_alike(with_residual):
    tensors = inputs(with_residual, rows=1000)
    with torch.no_grad():
        tensors[2] += 100  # so that the mask shows
    out = norm_relu(*tensors, dropout=0.3, eps=EPS)[0]
    keep = (out > 20).to(out)
    assert abs(float(keep.mean()) - 0.7) < 0.02
    expected = expected_output(*tensors, keep=keep, scale=1 / 0.7)[0]
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(gradients(out, tensors), gradients(expected, tensors))


def test_dropout_follows_the_seed_and_no_row_or_channel_repeats_another():
    def mask():
        ones = [torch.randn(200, 64), torch.zeros(64), torch.ones(64)]
        return norm_relu(*ones, dropout=0.5)[0] > 0

    torch.manual_seed(3)
    first, second = mask(), mask()
    torch.manual_seed(3)
    assert torch.equal(mask(), first)
    assert not torch.equal(first, second)
    share = float((first == second).double().mean())
    assert abs(share - 0.5) < 0.03
    for table in (first, first.t()):
        signs = 2.0 * table.double() - 1
        alike = signs @ signs.t() / table.size(1) - torch.eye(len(table), dtype=torch.float64)
        assert float(alike.abs().max()) < 6 / table.size(1) ** 0.5


def test_does_not_depend_on_the_number_of_threads():
    tensors = inputs(True, torch.float32, rows=20_000, channels=64)
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            torch.manual_seed(0)
            out = norm_relu(*tensors, dropout=0.2)[0]
            results.append((out, *torch.autograd.grad(out.sum(), tensors)))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_strided_input():
    tensors = [t.detach() for t in inputs(True)]
    strided = [t.repeat_interleave(2, dim=-1)[..., ::2] for t in tensors]
    torch.testing.assert_close(norm_relu(*strided), norm_relu(*tensors))


def test_nan_goes_through():
    tensors = inputs(False)
    with torch.no_grad():
        tensors[0][3, 5] = torch.nan
    out = norm_relu(*tensors)[0]
    assert out[:, 5].isnan().all() and not out[:, :5].isnan().any()


@both
def test_is_an_operator_that_compile_takes(with_residual):
    seed = torch.zeros((), dtype=torch.int64)
    x, weight, bias, *residual = inputs(with_residual)
    opcheck(
        torch.ops.pyg_fsar.norm_relu.default,
        (x, weight, bias, *(residual or [None]), 0.0, EPS, seed),
    )


@pytest.mark.parametrize("place", [1, 2, 3])
def test_refuses_what_does_not_fit(place):
    for change in (Tensor.float, lambda t: t[1:]):
        tensors = inputs(True)
        tensors[place] = change(tensors[place])
        name = ["weight", "bias", "residual"][place - 1]
        with pytest.raises(ValueError, match=f"{name} must be torch.float64"):
            norm_relu(*tensors)


def test_without_a_compiler(monkeypatch):
    monkeypatch.setattr(
        import_module("pyg_fsar.kernels.fused.norm_relu"), "library", lambda name: None
    )
    with pytest.raises(RuntimeError, match="needs a C\\+\\+ compiler; set CXX"):
        norm_relu(*inputs(True))
