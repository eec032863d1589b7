from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from references import batch_norm, number_of_parameters, randomise
from torch import Tensor, nn

from pyg_fsar.nn import STGCN, STGCNPP, STGCNPPBlock

PUBLISHED = [(64, 1)] * 4 + [(128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1)]


def graph_convolution(block: STGCNPPBlock, x: Tensor, adj: Tensor) -> Tensor:
    weight, bias = block.spatial.weight, block.spatial.bias
    out = 0
    for k, graph in enumerate(adj + block.learned):
        y = F.conv2d(x, weight[k].t()[..., None, None], bias[k])
        out = out + torch.einsum("bctv,vw->bctw", y, graph)
    return out


def temporal_convolution(temporal: nn.Module, x: Tensor) -> Tensor:
    conv = temporal.branches
    outs, start = [], 0
    for number, width in enumerate(conv.widths):
        share = slice(start, start := start + width)
        y = F.conv2d(x, conv.reduce.conv.weight[share], conv.reduce.conv.bias[share])
        norm = nn.BatchNorm1d(width, dtype=x.dtype).train(conv.training)
        for name, tensor in conv.reduce.norm.state_dict().items():
            getattr(norm, name).data = tensor[share] if tensor.dim() else tensor
        y = batch_norm(norm, y).relu()
        pool = number == len(conv.branches)
        outs.append(
            F.max_pool2d(y, (3, 1), (conv.stride, 1), (1, 0)) if pool else conv.branches[number](y)
        )
    weight = conv.point.weight[..., None, None]
    outs.append(F.conv2d(x, weight, conv.point.bias, stride=(conv.stride, 1)))
    y = batch_norm(conv.norm, torch.cat(outs, dim=1)).relu()
    return batch_norm(temporal.norm, temporal.conv(y))


def reference(model: STGCNPP, x: Tensor) -> Tensor:
    """What the public code computes with the weights of the model, channels first."""
    b, t, v, c = x.shape
    x = model.input_norm(x.permute(0, 2, 3, 1).reshape(b, v * c, t))
    x = x.view(b, v, c, t).permute(0, 2, 3, 1)

    def projection(module: nn.Module, x: Tensor) -> Tensor:
        return x if isinstance(module, nn.Identity) else batch_norm(module.norm, module.conv(x))

    for block in model.blocks:
        y = batch_norm(block.spatial_norm, graph_convolution(block, x, model.adjacency))
        y = temporal_convolution(block.temporal, (y + projection(block.shortcut, x)).relu())
        x = (y if block.residual is None else y + projection(block.residual, x)).relu()
    return x.permute(0, 2, 3, 1)


@pytest.mark.parametrize("training", [False, True])
def test_equals_the_public_form(training: bool) -> None:
    plan = [(8, 1), (8, 1), (13, 2), (13, 1), (18, 2)]
    model = STGCNPP("coco17", plan=plan).double().train(training)
    randomise(model)
    x = torch.randn(3, 13, 17, 3, dtype=torch.double)
    torch.testing.assert_close(model(x), reference(model, x))


def block_parameters(joints: int, width: int, channels: int) -> int:
    """Counted from the paper's figures."""
    sixth = channels // 6
    first = channels - 5 * sixth
    spatial = 3 * (joints**2 + (width + 1) * channels) + 2 * channels
    branches = (channels + 1) * channels + 2 * (channels - sixth)
    branches += (3 * first + 1) * first + 3 * (3 * sixth + 1) * sixth
    mix = 2 * channels + (channels + 1) * channels + 2 * channels
    return spatial + branches + mix


def test_contract_of_the_published_network() -> None:
    model = STGCNPP("ntu25")
    count = sum(parameter.numel() for parameter in model.parameters())
    # 1.39 million as published.
    assert count == number_of_parameters(block_parameters, 25, PUBLISHED) == 1_387_724
    assert (model.in_channels, model.out_channels) == (3, 256)
    assert model(torch.randn(1, 30, 25, 3)).shape == (1, 8, 25, 256)
    assert repr(model) == "STGCNPP('ntu25', in_channels=3, out_channels=256, num_blocks=10)"


@pytest.mark.parametrize("num_blocks", [2, 4, 7])
def test_other_depths(num_blocks: int) -> None:
    model = STGCNPP("kinect20", num_blocks=num_blocks)
    assert len(model.blocks) == num_blocks
    expected = (1, 13, 20, 64) if num_blocks == 2 else (1, 4, 20, 256)
    assert model(torch.randn(1, 13, 20, 3)).shape == expected


def test_begins_with_the_bones() -> None:
    model = STGCNPP("coco17", plan=[(8, 1), (12, 2)]).eval()
    twin = STGCN("coco17", plan=[(8, 1), (12, 2)]).eval()
    for ours, theirs in zip(model.blocks, twin.blocks, strict=True):
        theirs.spatial.load_state_dict(ours.spatial.state_dict())
    x = torch.randn(2, 8, 17, 3)
    block, plain = model.blocks[0], twin.blocks[0]
    expected = (plain.spatial(x, twin.adjacency) + block.shortcut(x)).relu()
    torch.testing.assert_close(block.mix_joints(x, model.adjacency), expected, rtol=1e-4, atol=1e-4)


def test_every_parameter_learns_from_the_first_step() -> None:
    model = STGCNPP("coco17", plan=[(8, 1), (8, 1), (12, 2)])
    model(torch.randn(2, 8, 17, 3)).square().mean().backward()
    for name, parameter in model.named_parameters():
        # Before a norm a bias is lost.
        if "spatial" in name or not name.endswith("bias"):
            assert parameter.grad.abs().max() > 0, name


def test_drop_edge_spares_what_is_learned() -> None:
    model = STGCNPP("coco17", plan=[(8, 1), (12, 2)], drop_edge=1.0)
    seen = []
    for block in model.blocks:
        nn.init.normal_(block.learned)
        block.spatial.register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    model(torch.randn(2, 8, 17, 3))
    for block, graphs in zip(model.blocks, seen, strict=True):
        loops = (graphs - block.learned).sum(dim=0)
        torch.testing.assert_close(loops, torch.eye(17))


def test_temporal_kernels_may_be_chosen() -> None:
    model = STGCNPP("coco17", plan=[(10, 1)], kernel_size=5, dilations=(1, 3), dropout=0.5)
    branches = model.blocks[0].temporal.branches.branches
    assert [branch.dilation[0] for branch in branches] == [1, 3]
    assert [branch.kernel_size[0] for branch in branches] == [5, 5]
    assert model.blocks[0].dropout.p == 0.5


def test_refuses_unknown_options() -> None:
    with pytest.raises(ValueError, match="4, 7, 10"):
        STGCNPP("coco17", num_blocks=5)
    with pytest.raises(ValueError, match="plan is empty"):
        STGCNPP("coco17", plan=[])
    with pytest.raises(ValueError, match="unknown strategy"):
        STGCNPP("coco17", strategy="far")
    with pytest.raises(ValueError, match="at least 6, one for each branch"):
        STGCNPP("coco17", plan=[(5, 1)])
