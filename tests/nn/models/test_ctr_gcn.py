from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from references import batch_norm, number_of_parameters, randomise
from torch import Tensor, nn

from pyg_fsar.nn import CTRGCN, CTRGraphConv, MultiScaleTemporalConv

PUBLISHED = [(64, 1)] * 4 + [(128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1)]


def graph_convolution(conv: CTRGraphConv, x: Tensor, adj: Tensor) -> Tensor:
    out = 0
    for k in range(len(adj)):
        value, psi, phi = (
            F.conv2d(x, layer.weight.chunk(3)[k][..., None, None], layer.bias.chunk(3)[k])
            for layer in (conv.value, conv.psi, conv.phi)
        )
        difference = (psi.mean(2).unsqueeze(-1) - phi.mean(2).unsqueeze(-2)).tanh()
        own = F.conv2d(difference, conv.xi[k][..., None, None], conv.xi_bias[k])
        graph = conv.alpha * own + (adj[k] + conv.learned[k]).t()
        out = out + torch.einsum("bcuv,bctv->bctu", graph, value)
    return out


def temporal_convolution(conv: MultiScaleTemporalConv, x: Tensor) -> Tensor:
    y = batch_norm(conv.reduce.norm, conv.reduce.conv(x)).relu()
    *parts, pooled = y.split(conv.widths, dim=1)
    outs = [branch(part) for branch, part in zip(conv.branches, parts, strict=True)]
    outs.append(F.max_pool2d(pooled, (3, 1), (conv.stride, 1), (1, 0)))
    weight = conv.point.weight[..., None, None]
    outs.append(F.conv2d(x, weight, conv.point.bias, stride=(conv.stride, 1)))
    return batch_norm(conv.norm, torch.cat(outs, dim=1))


def reference(model: CTRGCN, x: Tensor) -> Tensor:
    """What the public code computes with the weights of the model, channels first."""
    b, t, v, c = x.shape
    x = model.input_norm(x.permute(0, 2, 3, 1).reshape(b, v * c, t))
    x = x.view(b, v, c, t).permute(0, 2, 3, 1)

    def projection(module: nn.Module, x: Tensor) -> Tensor:
        return x if isinstance(module, nn.Identity) else batch_norm(module.norm, module.conv(x))

    for block in model.blocks:
        y = batch_norm(block.spatial_norm, graph_convolution(block.spatial, x, model.adjacency))
        y = temporal_convolution(block.temporal, (y + projection(block.shortcut, x)).relu())
        x = (y if block.residual is None else y + projection(block.residual, x)).relu()
    return x.permute(0, 2, 3, 1)


@pytest.mark.parametrize("training", [False, True])
def test_equals_the_public_form(training: bool) -> None:
    plan = [(8, 1), (8, 1), (12, 2), (12, 1), (16, 2)]
    model = CTRGCN("coco17", plan=plan).double().train(training)
    randomise(model)
    x = torch.randn(3, 13, 17, 3, dtype=torch.double)
    torch.testing.assert_close(model(x), reference(model, x))


def block_parameters(joints: int, width: int, channels: int) -> int:
    """Counted from the paper's figures."""
    relation, quarter = 8 if width == 3 else width // 8, channels // 4
    graphs = 2 * (width + 1) * relation + (relation + 1) * channels + joints**2
    spatial = 3 * (graphs + (width + 1) * channels) + 1 + 2 * channels
    branches = 4 * (channels + 1) * quarter + 3 * 2 * quarter + 2 * (5 * quarter + 1) * quarter
    return spatial + branches + 2 * channels


def test_contract_of_the_published_network() -> None:
    model = CTRGCN("ntu25")
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == number_of_parameters(block_parameters, 25, PUBLISHED) == 1_431_102
    assert (model.in_channels, model.out_channels) == (3, 256)
    assert model(torch.randn(1, 30, 25, 3)).shape == (1, 8, 25, 256)
    assert repr(model) == "CTRGCN('ntu25', in_channels=3, out_channels=256, num_blocks=10)"


@pytest.mark.parametrize("num_blocks", [2, 4, 7])
def test_other_depths(num_blocks: int) -> None:
    model = CTRGCN("kinect20", num_blocks=num_blocks)
    assert len(model.blocks) == num_blocks
    expected = (1, 13, 20, 64) if num_blocks == 2 else (1, 4, 20, 256)
    assert model(torch.randn(1, 13, 20, 3)).shape == expected


def test_every_parameter_learns() -> None:
    model = CTRGCN("coco17", plan=[(8, 1), (8, 1), (12, 2)])
    randomise(model)
    model(torch.randn(2, 8, 17, 3)).square().mean().backward()
    for name, parameter in model.named_parameters():
        # Before a norm a bias is lost.
        if "spatial" in name or not name.endswith("bias"):
            assert parameter.grad.abs().max() > 0, name


def test_alpha_learns_from_the_first_step() -> None:
    model = CTRGCN("coco17", plan=[(8, 1), (12, 2)])
    model(torch.randn(2, 8, 17, 3)).square().mean().backward()
    assert all(block.spatial.alpha.grad != 0 for block in model.blocks)


def test_drop_edge_spares_what_is_learned() -> None:
    model = CTRGCN("coco17", plan=[(8, 1), (12, 2)], drop_edge=1.0)
    seen = []
    for block in model.blocks:
        block.register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    model(torch.randn(2, 8, 17, 3))
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0].sum(dim=0), torch.eye(17))  # self-loops alone are left
    model.eval()(torch.randn(2, 8, 17, 3))
    assert torch.equal(seen[-1], model.adjacency)


def test_temporal_kernels_may_be_chosen() -> None:
    model = CTRGCN("coco17", plan=[(10, 1)], kernel_size=3, dilations=(1, 2, 4), dropout=0.5)
    temporal = model.blocks[0].temporal
    assert [branch.dilation[0] for branch in temporal.branches] == [1, 2, 4]
    assert [branch.kernel_size[0] for branch in temporal.branches] == [3, 3, 3]
    assert model.blocks[0].dropout.p == 0.5


def test_refuses_unknown_options() -> None:
    with pytest.raises(ValueError, match="4, 7, 10"):
        CTRGCN("coco17", num_blocks=5)
    with pytest.raises(ValueError, match="plan is empty"):
        CTRGCN("coco17", plan=[])
    with pytest.raises(ValueError, match="unknown strategy"):
        CTRGCN("coco17", strategy="far")
    with pytest.raises(ValueError, match="at least 4, one for each branch"):
        CTRGCN("coco17", plan=[(3, 1)])
