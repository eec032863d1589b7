from __future__ import annotations

from importlib import import_module

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.library import opcheck

from pyg_fsar.kernels import use_backend
from pyg_fsar.nn import TemporalConv
from pyg_fsar.nn.functional import prefers_short_conv, short_conv

V = 3
module = import_module("pyg_fsar.nn.functional.short_conv")


@pytest.fixture(autouse=True)
def _nothing_is_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYG_FSAR_KERNELS", raising=False)


def inputs(
    frames: int = 8, taps: int = 9, clips: int = 2, channels: int = 2, out_channels: int = 3
) -> list[Tensor]:
    shapes = [(clips, frames, V, channels), (out_channels, channels, taps, 1), (out_channels,)]
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    padding = (weight.size(2) // 2, 0)
    return F.conv2d(x.permute(0, 3, 1, 2), weight, bias, padding=padding).permute(0, 2, 3, 1)


@pytest.mark.parametrize("taps", [1, 3, 9, 15])
@pytest.mark.parametrize("frames", [1, 2, 3, 5, 7, 8, 11, 16])
def test_equals_convolution(frames: int, taps: int) -> None:
    tensors = inputs(frames, taps)
    out, expected = short_conv(*tensors), convolution(*tensors)
    torch.testing.assert_close(out, expected)
    grad = torch.randn_like(out)
    torch.testing.assert_close(
        torch.autograd.grad(out, tensors, grad), torch.autograd.grad(expected, tensors, grad)
    )


@pytest.mark.parametrize("clips", [0, 1, 4, 7])
def test_chunks_of_clips(clips: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = inputs(clips=clips)
    three_clips = 3 * 27 * V * 3
    monkeypatch.setattr(module, "CHUNK", three_clips // torch.get_num_threads() + 1)
    out, expected = short_conv(*tensors), convolution(*tensors)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(
        torch.autograd.grad(out.square().sum(), tensors),
        torch.autograd.grad(expected.square().sum(), tensors),
    )


@pytest.mark.parametrize("frames", [5, 8])
def test_gradients_are_those_of_differences(frames: int) -> None:
    tensors = inputs(frames, clips=1)
    assert torch.autograd.gradcheck(short_conv, tensors)
    assert torch.autograd.gradgradcheck(short_conv, tensors)


def test_float32_is_as_close_as_a_convolution_is() -> None:
    double = [t.detach() for t in inputs(clips=8, channels=128, out_channels=128)]
    double[1] /= (9 * 128) ** 0.5
    single = [t.float().requires_grad_() for t in double]
    double = [t.detach().double().requires_grad_() for t in single]
    expected = convolution(*double)
    grad = torch.randn_like(expected)
    expected = [expected.detach(), *torch.autograd.grad(expected, double, grad)]
    errors = []
    for function in (short_conv, convolution):
        out = function(*single)
        results = [out.detach(), *torch.autograd.grad(out, single, grad.float())]
        pairs = zip(results, expected, strict=True)
        errors.append([float((one - two).abs().max() / two.abs().max()) for one, two in pairs])
    assert max(errors[0]) < 1e-5
    assert all(ours < 10 * theirs for ours, theirs in zip(*errors, strict=True)), errors


@pytest.mark.parametrize("frames", module.PRODUCTS)
def test_number_of_products(frames: int) -> None:
    assert len(module.factors(frames, 2 * frames - 1)[0]) == module.PRODUCTS[frames]


@pytest.mark.parametrize("dynamic", [None, True])
def test_is_chosen_while_a_graph_is_traced(dynamic: bool | None) -> None:
    conv = TemporalConv(128, 128).eval()
    torch._dynamo.reset()
    compiled = torch.compile(conv, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for frames in (8, 12, 7):
        x = torch.randn(2, frames, V, 128)
        torch.testing.assert_close(compiled(x), conv(x))


@pytest.mark.parametrize(
    ("shape", "taps", "preferred"),
    [
        ((2, 8, V, 128), 9, True),
        ((2, 8, V, 64), 9, False),  # channels are too few
        ((2, 8, V, 128), 3, False),  # most pairs of frames are left out anyway
        ((2, 16, V, 128), 9, False),
        ((2, 5, V, 128), 9, False),  # computed as 8 frames
    ],
)
def test_preferred_where_it_saves_a_third(
    shape: tuple[int, ...], taps: int, preferred: bool
) -> None:
    x, weight = torch.randn(shape), torch.randn(128, shape[-1], taps, 1)
    assert prefers_short_conv(x, weight) == preferred
    assert not prefers_short_conv(x.bfloat16(), weight.bfloat16())
    assert not prefers_short_conv(x.to("meta"), weight.to("meta"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not prefers_short_conv(x, weight)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("training", [True, False])
def test_temporal_conv_is_the_same_with_it(
    stride: int, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    conv = TemporalConv(128, 128, 9, stride).train(training)
    x = torch.randn(3, 8, V, 128)
    calls = []

    def spy(*tensors: Tensor) -> Tensor:
        calls.append(tensors)
        return short_conv(*tensors)

    monkeypatch.setattr("pyg_fsar.nn.conv.temporal_conv.short_conv", spy)
    out = conv(x)
    assert len(calls) == (stride == 1)
    assert out.is_contiguous()
    with use_backend("vectorised"):
        torch.testing.assert_close(conv(x), out, rtol=1e-4, atol=1e-4)
    assert len(calls) == (stride == 1)


def test_are_operators_that_compile_takes() -> None:
    x, weight, bias = inputs()
    opcheck(torch.ops.pyg_fsar.short_conv.default, (x, weight, bias))
    grad = torch.randn(2, 8, V, 3, dtype=x.dtype)
    opcheck(torch.ops.pyg_fsar.short_conv_backward.default, (grad, x.detach(), weight.detach()))
