from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from references import batch_norm, number_of_parameters, randomise
from torch import Tensor, nn

from pyg_fsar import Skeleton
from pyg_fsar.nn import AGCN, AdaptiveGraphConv, AGCNBlock, PairNorm

TINY = ((8, 1), (8, 1), (12, 2))


def graph_convolution(conv: AdaptiveGraphConv, x: Tensor, adj: Tensor) -> Tensor:
    n, c, t, v = x.shape
    embedded = F.conv2d(x, conv.embed.weight[..., None, None], conv.embed.bias)
    theta, phi = embedded.view(n, 2, 3, -1, t, v).unbind(1)
    out = 0
    for k in range(3):
        a = theta[:, k].permute(0, 3, 1, 2).reshape(n, v, -1)
        b = phi[:, k].reshape(n, -1, v)
        graph = adj[k] + conv.learned[k] + F.softmax(a @ b / a.size(-1), dim=-2)
        moved = (x.reshape(n, c * t, v) @ graph).view(n, c, t, v)
        out = out + F.conv2d(moved, conv.conv.weight[k].t()[..., None, None])
    return out


def reference(model: AGCN, x: Tensor) -> Tensor:
    """What the public code computes with the weights of the model, channels first."""
    b, t, v, c = x.shape
    x = model.input_norm(x.permute(0, 2, 3, 1).reshape(b, v * c, t))
    x = x.view(b, v, c, t).permute(0, 2, 3, 1)

    def projection(module: nn.Module, x: Tensor) -> Tensor:
        return x if isinstance(module, nn.Identity) else batch_norm(module.norm, module.conv(x))

    for block in model.blocks:
        y = batch_norm(block.spatial_norm, graph_convolution(block.spatial, x, model.adjacency))
        y = (y + projection(block.shortcut, x)).relu()
        y = batch_norm(block.temporal.norm, block.temporal.conv(y))
        x = (y if block.residual is None else y + projection(block.residual, x)).relu()
    return x.permute(0, 2, 3, 1)


@pytest.mark.parametrize("training", [False, True])
def test_equals_the_public_form(training: bool) -> None:
    plan = [(8, 1), (8, 1), (12, 2), (12, 1), (16, 2)]
    model = AGCN("coco17", plan=plan).double().train(training)
    randomise(model)
    x = torch.randn(3, 13, 17, 3, dtype=torch.double)
    torch.testing.assert_close(model(x), reference(model, x))


def block_parameters(joints: int, width: int, channels: int) -> int:
    """Counted from the paper's figures."""
    graphs = 3 * joints**2 + 2 * 3 * (width + 1) * (channels // 4)
    spatial = 3 * width * channels + 2 * channels
    return graphs + spatial + 9 * channels**2 + 3 * channels


def test_contract_of_the_published_network() -> None:
    model = AGCN("ntu25")
    plan = [(64, 1)] * 4 + [(128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1)]
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == number_of_parameters(block_parameters, 25, plan) == 3_449_716
    # The public network counts 3.47 million with its classifier of 60 classes, the input norm of a
    # second body, and the biases of the graph convolutions.
    biases = 3 * sum(channels for channels, _ in plan)
    assert count + 60 * 257 + 2 * 25 * 3 + biases == 3_469_510
    assert (model.in_channels, model.out_channels) == (3, 256)
    assert model(torch.randn(1, 30, 25, 3)).shape == (1, 8, 25, 256)


@pytest.mark.parametrize("num_blocks", [2, 4, 7])
def test_other_depths(num_blocks: int) -> None:
    model = AGCN("kinect20", num_blocks=num_blocks)
    assert len(model.blocks) == num_blocks
    assert repr(model).endswith(f"num_blocks={num_blocks})")
    expected = (1, 13, 20, 64) if num_blocks == 2 else (1, 4, 20, 256)
    assert model(torch.randn(1, 13, 20, 3)).shape == expected


def test_starts_without_its_graphs() -> None:
    model = AGCN("coco17", plan=TINY).eval()
    x = torch.randn(2, 8, 17, 3)
    before = model(x)
    for block in model.blocks:
        assert isinstance(block, AGCNBlock)
        nn.init.normal_(block.spatial.learned)
    torch.testing.assert_close(model(x), before, rtol=1e-4, atol=1e-4)
    for block in model.blocks:
        nn.init.ones_(block.spatial_norm.weight)
    assert not torch.allclose(model(x), before, atol=1e-2)


def test_graphs_and_weights_learn_from_the_first_step() -> None:
    model = AGCN("coco17", plan=TINY)
    model(torch.randn(2, 8, 17, 3)).square().mean().backward()
    for name, parameter in model.named_parameters():
        if "spatial" in name:
            assert parameter.grad.abs().max() > 0, name


def renumbered(skeleton: Skeleton, joints: list[int]) -> Skeleton:
    new = {old: number for number, old in enumerate(joints)}
    return Skeleton(
        "renumbered",
        tuple(skeleton.joints[joint] for joint in joints),
        tuple((new[child], new[parent]) for child, parent in skeleton.bones),
        center=new[skeleton.center],
    )


def test_joints_may_be_renumbered() -> None:
    skeleton, joints = Skeleton.get("coco17"), torch.randperm(17)
    options = {"plan": TINY, "input_norm": "channel"}
    model = AGCN(skeleton, **options).eval()
    twin = AGCN(renumbered(skeleton, joints.tolist()), **options).eval()
    randomise(model)
    twin.load_state_dict(model.state_dict())
    for block in twin.blocks:
        block.spatial.learned.data = block.spatial.learned.data[:, joints][..., joints]
    x = torch.randn(2, 8, 17, 3)
    torch.testing.assert_close(twin(x[:, :, joints]), model(x)[:, :, joints])


def test_bodies_have_graphs_of_their_own() -> None:
    model = AGCN("coco17", plan=TINY)
    x = torch.randn(2, 8, 17, 3)
    similarity = model.blocks[0].spatial.similarity(x)
    assert not torch.allclose(similarity[0], similarity[1])


def test_every_block_has_the_norm() -> None:
    model = AGCN("coco17", plan=TINY, norm=PairNorm(scale=3.0)).eval()
    seen = []
    for block in model.blocks:
        block.norm.register_forward_hook(lambda module, args, out: seen.append(out))
    model(torch.randn(2, 8, 17, 3))
    assert [out.shape[-1] for out in seen] == [8, 8, 12]
    for out in seen:
        size = out.square().sum(-1).mean(-1).sqrt()
        torch.testing.assert_close(size, torch.full_like(size, 3.0), rtol=1e-2, atol=1e-2)


def test_drop_edge_is_drawn_once_for_all_blocks() -> None:
    model = AGCN("coco17", plan=TINY, drop_edge=0.5)
    seen = []
    for block in model.blocks:
        block.register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    model(torch.randn(2, 8, 17, 3))
    assert torch.equal(seen[0], seen[1]) and torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], model.adjacency)
    model.eval()(torch.randn(2, 8, 17, 3))
    assert torch.equal(seen[-1], model.adjacency)


@pytest.mark.parametrize("strategy", ["uniform", "distance", "spatial_stgcn"])
def test_partitions(strategy: str) -> None:
    model = AGCN("coco17", plan=TINY, strategy=strategy)
    subsets = len(Skeleton.get("coco17").adjacency(strategy))
    assert all(block.spatial.learned.shape == (subsets, 17, 17) for block in model.blocks)
    assert model(torch.randn(1, 8, 17, 3)).shape == (1, 4, 17, 12)


def test_refuses_unknown_options() -> None:
    with pytest.raises(ValueError, match="4, 7, 10"):
        AGCN("coco17", num_blocks=5)
    with pytest.raises(ValueError, match="plan is empty"):
        AGCN("coco17", plan=[])
    with pytest.raises(ValueError, match="unknown strategy"):
        AGCN("coco17", strategy="far")
