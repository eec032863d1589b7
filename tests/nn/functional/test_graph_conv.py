from __future__ import annotations

from importlib import import_module

import pytest
import torch
from torch import Tensor
from torch.library import opcheck

from pyg_fsar.nn.functional import graph_conv

K, V, C = 3, 5, 4
module = import_module("pyg_fsar.nn.functional.graph_conv")


@pytest.fixture(autouse=True)
def several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few entries at a time that some frames are left over for the last chunk."""
    monkeypatch.setattr(module, "CHUNK", 3 * K * V * C // torch.get_num_threads() + 1)


def inputs(frames: int = 7, out_channels: int = C, bias: bool = True) -> list[Tensor]:
    shapes = [(frames, V, C), (K, V, V), (K, C, out_channels)] + [(K, out_channels)] * bias
    tensors = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    return [t.requires_grad_(number != 1) for number, t in enumerate(tensors)]


def formula(x: Tensor, adj: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    messages = torch.einsum("...ic,kco->...kio", x, weight)
    if bias is not None:
        messages = messages + bias[:, None]
    return torch.einsum("kij,...kio->...jo", adj, messages)


def was_chunked(out: Tensor) -> bool:
    names = [str(out.grad_fn), *(str(node) for node, _ in out.grad_fn.next_functions)]
    return any("pyg_fsar_graph_conv" in name for name in names)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("out_channels", [2, C, 2 * C])
@pytest.mark.parametrize("frames", [1, 3, 7])
def test_equals_the_formula(frames: int, out_channels: int, bias: bool) -> None:
    tensors = inputs(frames, out_channels, bias)
    out, expected = graph_conv(*tensors), formula(*tensors)
    assert was_chunked(out)
    torch.testing.assert_close(out, expected)
    learned = [t for t in tensors if t.requires_grad]
    grad = torch.randn_like(out)
    torch.testing.assert_close(
        torch.autograd.grad(out, learned, grad), torch.autograd.grad(expected, learned, grad)
    )


@pytest.mark.parametrize("shape", [(V, C), (2, V, C), (2, 3, V, C), (0, V, C)])
def test_any_number_of_frames(shape: tuple[int, ...]) -> None:
    _, *rest = inputs()
    x = torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(graph_conv(x, *rest), formula(x, *rest))


def test_strided_joints() -> None:
    x, *rest = inputs()
    strided = x.detach().repeat_interleave(2, dim=0)[::2].transpose(1, 2).contiguous()
    torch.testing.assert_close(graph_conv(strided.transpose(1, 2), *rest), graph_conv(x, *rest))


@pytest.mark.parametrize("frozen", [None, 0, 2, 3])
def test_gradients_are_those_of_differences(frozen: int | None) -> None:
    tensors = inputs()
    if frozen is not None:
        tensors[frozen].requires_grad_(False)
    assert torch.autograd.gradcheck(graph_conv, tensors)
    assert torch.autograd.gradgradcheck(graph_conv, tensors)


def test_a_learned_adjacency_has_its_gradient() -> None:
    tensors = inputs()
    tensors[1].requires_grad_()
    assert not was_chunked(graph_conv(*tensors))
    assert torch.autograd.gradcheck(graph_conv, tensors)


def test_an_adjacency_for_each_clip() -> None:
    _, _, *rest = inputs()
    x, adj = torch.randn(2, 3, V, C).double(), torch.randn(2, K, V, V).double()
    expected = torch.stack([formula(clip, own, *rest) for clip, own in zip(x, adj, strict=True)])
    torch.testing.assert_close(graph_conv(x, adj, *rest), expected)


def test_few_channels_that_become_many_are_composed() -> None:
    tensors = inputs(out_channels=2 * C + 1)
    out = graph_conv(*tensors)
    assert not was_chunked(out)
    torch.testing.assert_close(out, formula(*tensors))


def test_autocast_makes_half_precision() -> None:
    tensors = [t.detach().float() for t in inputs()]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = graph_conv(*tensors)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), formula(*tensors), rtol=0.1, atol=0.3)


@pytest.mark.parametrize("of_x", [True, False])
def test_are_operators_that_compile_takes(of_x: bool) -> None:
    x, adj, weight, bias = (t.detach() for t in inputs())
    opcheck(
        torch.ops.pyg_fsar.graph_conv.default,
        (x.requires_grad_(of_x), adj, weight.requires_grad_(), bias),
    )
    grad = torch.randn(len(x), V, C, dtype=x.dtype)
    opcheck(
        torch.ops.pyg_fsar.graph_conv_backward.default,
        (grad, x.detach(), adj, weight.detach(), of_x),
    )
