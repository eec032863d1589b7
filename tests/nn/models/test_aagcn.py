from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from references import batch_norm, randomise
from torch import Tensor, nn

from pyg_fsar.nn import AAGCN, AGCN, GatedGraphConv, JointTimeChannelAttention

TINY = ((8, 1), (8, 1), (12, 2))


def graph_convolution(conv: GatedGraphConv, x: Tensor, adj: Tensor) -> Tensor:
    n, c, t, v = x.shape
    embedded = F.conv2d(x, conv.embed.weight[..., None, None], conv.embed.bias)
    theta, phi = embedded.view(n, 2, 3, -1, t, v).unbind(1)
    out = 0
    for k in range(3):
        a = theta[:, k].permute(0, 3, 1, 2).reshape(n, v, -1)
        b = phi[:, k].reshape(n, -1, v)
        graph = adj[k] + conv.learned[k] + conv.alpha * (a @ b / a.size(-1)).tanh()
        moved = (x.reshape(n, c * t, v) @ graph).view(n, c, t, v)
        out = out + F.conv2d(moved, conv.conv.weight[k].t()[..., None, None])
    return out


def attention(module: JointTimeChannelAttention, y: Tensor) -> Tensor:
    gate = module.joints(y.mean(-2)).sigmoid()
    y = y * gate.unsqueeze(-2) + y
    gate = module.frames(y.mean(-1)).sigmoid()
    y = y * gate.unsqueeze(-1) + y
    gate = module.excite(module.squeeze(y.mean(-1).mean(-1)).relu()).sigmoid()
    return y * gate.unsqueeze(-1).unsqueeze(-1) + y


def reference(model: AAGCN, x: Tensor) -> Tensor:
    """What the public code computes with the weights of the model, channels first."""
    b, t, v, c = x.shape
    x = model.input_norm(x.permute(0, 2, 3, 1).reshape(b, v * c, t))
    x = x.view(b, v, c, t).permute(0, 2, 3, 1)

    def projection(module: nn.Module, x: Tensor) -> Tensor:
        return x if isinstance(module, nn.Identity) else batch_norm(module.norm, module.conv(x))

    for block in model.blocks:
        y = batch_norm(block.spatial_norm, graph_convolution(block.spatial, x, model.adjacency))
        y = attention(block.attention, (y + projection(block.shortcut, x)).relu())
        y = batch_norm(block.temporal.norm, block.temporal.conv(y))
        x = (y if block.residual is None else y + projection(block.residual, x)).relu()
    return x.permute(0, 2, 3, 1)


@pytest.mark.parametrize("name", ["coco17", "openpose18"])
@pytest.mark.parametrize("training", [False, True])
def test_equals_the_public_form(training: bool, name: str) -> None:
    plan = [(8, 1), (8, 1), (12, 2), (12, 1), (16, 2)]
    model = AAGCN(name, plan=plan).double().train(training)
    randomise(model)
    x = torch.randn(3, 13, model.skeleton.num_joints, 3, dtype=torch.double)
    torch.testing.assert_close(model(x), reference(model, x))


def test_attention_adds_what_the_paper_says() -> None:
    def size(model: nn.Module) -> int:
        return sum(parameter.numel() for parameter in model.parameters())

    attentions = [
        (channels * 25 + 1) + (channels * 9 + 1) + (channels + 1) * channels // 2
        + (channels // 2 + 1) * channels
        for channels in [64] * 4 + [128] * 3 + [256] * 3
    ]  # fmt: skip
    # And one gate for each of ten blocks.
    assert size(AAGCN("ntu25")) == size(AGCN("ntu25")) + sum(attentions) + 10
    assert AAGCN("ntu25")(torch.randn(1, 30, 25, 3)).shape == (1, 8, 25, 256)


def test_begins_with_the_bones_alone() -> None:
    conv = GatedGraphConv(3, 8, num_joints=17)
    x = torch.randn(2, 5, 17, 3)
    assert not conv.similarity(x).any()
    assert not conv.learned.any()
    attention = JointTimeChannelAttention(8, num_joints=17)
    nn.init.zeros_(attention.joints.weight)
    x = torch.randn(2, 5, 17, 8)
    torch.testing.assert_close(attention(x), 1.5**3 * x)


def test_every_parameter_learns() -> None:
    model = AAGCN("coco17", plan=TINY)
    randomise(model)
    model(torch.randn(2, 8, 17, 3)).square().mean().backward()
    for name, parameter in model.named_parameters():
        # Before a norm a bias is lost.
        if "attention" in name or "spatial" in name or not name.endswith("bias"):
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("joints", [1, 2])
def test_few_joints_and_channels(joints: int) -> None:
    x = torch.randn(2, 1, joints, 1)
    assert JointTimeChannelAttention(1, joints)(x).shape == x.shape
