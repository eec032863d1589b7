from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pyg_fsar.nn.functional import graph_conv

K, V, C = 3, 5, 4


def inputs(frames: int = 7, out_channels: int = C, bias: bool = True) -> list[Tensor]:
    shapes = [(frames, V, C), (K, V, V), (K, C, out_channels)] + [(K, out_channels)] * bias
    tensors = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    return [t.requires_grad_(number != 1) for number, t in enumerate(tensors)]


def formula(x: Tensor, adj: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    messages = torch.einsum("...ic,kco->...kio", x, weight)
    if bias is not None:
        messages = messages + bias[:, None]
    return torch.einsum("kij,...kio->...jo", adj, messages)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("out_channels", [2, C, 2 * C])
@pytest.mark.parametrize("frames", [1, 3, 7])
def test_equals_the_formula(frames: int, out_channels: int, bias: bool) -> None:
    tensors = inputs(frames, out_channels, bias)
    out, expected = graph_conv(*tensors), formula(*tensors)
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
    assert torch.autograd.gradcheck(graph_conv, tensors)


def test_an_adjacency_for_each_clip() -> None:
    _, _, *rest = inputs()
    x, adj = torch.randn(2, 3, V, C).double(), torch.randn(2, K, V, V).double()
    expected = torch.stack([formula(clip, own, *rest) for clip, own in zip(x, adj, strict=True)])
    torch.testing.assert_close(graph_conv(x, adj, *rest), expected)


def test_keeps_no_messages_of_all_subsets_for_the_gradient() -> None:
    tensors, sizes = inputs(), []

    def pack(tensor: Tensor) -> Tensor:
        sizes.append(tensor.untyped_storage().nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        graph_conv(*tensors)
    assert max(sizes) == tensors[0].untyped_storage().nbytes()


def test_autocast_makes_half_precision() -> None:
    tensors = [t.detach().float() for t in inputs()]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = graph_conv(*tensors)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), formula(*tensors), rtol=0.1, atol=0.3)
