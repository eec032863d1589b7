from __future__ import annotations

import pytest
import torch
from references import randomise
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from pyg_fsar import Skeleton
from pyg_fsar.nn import (
    AGCN,
    CTRGCN,
    STGCN,
    STGCNPP,
    PairNorm,
    SkeletonEncoder,
    STGCNBlock,
)
from pyg_fsar.testing import assert_encoder

TINY = ((8, 1), (8, 1), (12, 2))


def channels_first(norm: nn.BatchNorm1d) -> nn.BatchNorm2d:
    """The same batch norm for ``[B, C, T, V]``."""
    twin = nn.BatchNorm2d(norm.num_features, dtype=norm.weight.dtype)
    twin.load_state_dict(norm.state_dict())
    return twin.train(norm.training)


class ReferenceBlock(nn.Module):
    """Channels first, `conv2d` to all subsets and an einsum, as in the public code."""

    def __init__(self, block: STGCNBlock, first: bool) -> None:
        super().__init__()
        spatial, temporal = block.spatial, block.temporal
        subsets, width, channels = spatial.weight.shape
        self.gcn = nn.Conv2d(width, subsets * channels, 1)
        self.gcn.weight.data = spatial.weight.detach().mT.reshape(subsets * channels, width, 1, 1)
        self.gcn.bias.data = spatial.bias.detach().flatten()
        self.tcn = nn.Sequential(
            channels_first(block.spatial_norm),
            nn.ReLU(),
            temporal.conv,
            channels_first(temporal.norm),
        )
        self.first, self.block = first, block

    def forward(self, x: Tensor, adj: Tensor) -> Tensor:
        y = self.gcn(x)
        n, kc, t, v = y.shape
        y = torch.einsum("nkctv,kvw->nctw", y.view(n, len(adj), kc // len(adj), t, v), adj)
        y = self.tcn(y)
        if self.first:
            return y.relu()
        if isinstance(self.block.residual, nn.Identity):
            return (y + x).relu()
        residual = self.block.residual
        return (y + channels_first(residual.norm)(residual.conv(x))).relu()


def reference(model: STGCN, x: Tensor) -> Tensor:
    """What the public code computes with the weights of the model."""
    b, t, v, c = x.shape
    x = model.input_norm(x.permute(0, 2, 3, 1).reshape(b, v * c, t))
    x = x.view(b, v, c, t).permute(0, 2, 3, 1)
    for number, block in enumerate(model.blocks):
        x = ReferenceBlock(block, number == 0).train(model.training)(x, model.adjacency)
    return x.permute(0, 2, 3, 1)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("strategy", ["spatial", "spatial_stgcn", "distance", "uniform"])
def test_equals_the_public_form(strategy: str, training: bool) -> None:
    plan = [(8, 1), (8, 1), (12, 2), (12, 1), (16, 2)]
    model = STGCN("coco17", strategy=strategy, dropout=0.0, plan=plan).double().train(training)
    randomise(model)
    x = torch.randn(3, 13, 17, 3, dtype=torch.double)
    torch.testing.assert_close(model(x), reference(model, x))


def test_contract_of_the_published_network() -> None:
    model = STGCN("ntu25")
    assert sum(p.numel() for p in model.parameters()) == 3_064_662
    assert (model.in_channels, model.out_channels) == (3, 256)
    assert isinstance(model.blocks[0].spatial, MessagePassing)


@pytest.mark.parametrize("num_blocks", [4, 7, 10])
def test_all_depths_have_one_output_shape(num_blocks: int) -> None:
    model = STGCN("ntu25", num_blocks=num_blocks)
    assert len(model.blocks) == num_blocks
    assert model(torch.randn(1, 30, 25, 3)).shape == (1, 8, 25, 256)


@pytest.mark.parametrize("frames", [4, 5, 7, 50])
def test_frames_halve_twice_rounding_up(frames: int) -> None:
    model = STGCN("coco17", plan=[(4, 1), (4, 2), (4, 2)])
    assert model(torch.randn(2, frames, 17, 3)).shape == (2, -(-frames // 4), 17, 4)


def test_every_parameter_gets_a_gradient() -> None:
    model = STGCN("coco17", plan=TINY, edge_importance=True, norm="pairnorm", drop_edge=0.2)
    x = torch.randn(2, 8, 17, 3, requires_grad=True)
    model(x).square().mean().backward()
    for name, parameter in [("x", x), *model.named_parameters()]:
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_edge_importance_weighs_every_bone() -> None:
    torch.manual_seed(0)
    plain = STGCN("coco17", plan=TINY).eval()
    weighted = STGCN("coco17", plan=TINY, edge_importance=True).eval()
    weighted.load_state_dict(plain.state_dict(), strict=False)
    x = torch.randn(2, 8, 17, 3)
    torch.testing.assert_close(weighted(x), plain(x))
    nn.init.zeros_(weighted.edge_importance[1])
    assert not torch.allclose(weighted(x), plain(x))


def test_every_block_has_the_norm_before_its_last_rectifier() -> None:
    model = STGCN("coco17", plan=TINY, norm=PairNorm(scale=3.0)).eval()
    seen = []
    for block in model.blocks:
        block.norm.register_forward_hook(lambda module, args, out: seen.append(out))
        block.register_forward_hook(lambda module, args, out: seen.append(out))
    model(torch.randn(2, 8, 17, 3))
    for normalised, out in zip(seen[::2], seen[1::2], strict=True):
        assert torch.equal(normalised.relu(), out)
        size = normalised.square().sum(-1).mean(-1).sqrt()
        torch.testing.assert_close(size, torch.full_like(size, 3.0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("encoder", [STGCN, AGCN, CTRGCN, STGCNPP])
def test_the_scale_of_the_norm_counts(encoder: type[SkeletonEncoder]) -> None:
    outs = []
    for scale in (1.0, 10.0):
        torch.manual_seed(0)
        model = encoder("coco17", plan=[(12, 1)] * 3, norm=PairNorm(scale))
        outs.append(model(torch.randn(2, 8, 17, 3)).detach() / scale)
    assert float((outs[0] - outs[1]).abs().mean()) > 0.05 * float(outs[0].abs().mean())


def test_drop_edge_is_drawn_once_for_all_blocks_and_not_in_evaluation() -> None:
    model = STGCN("coco17", plan=TINY, drop_edge=0.5)
    seen = []
    for block in model.blocks:
        block.register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    model(torch.randn(2, 8, 17, 3))
    assert torch.equal(seen[0], seen[1]) and torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], model.adjacency)
    model(torch.randn(2, 8, 17, 3))
    assert not torch.equal(seen[0], seen[3])
    model.eval()(torch.randn(2, 8, 17, 3))
    assert torch.equal(seen[-1], model.adjacency)


def test_accepts_a_skeleton_and_other_channels() -> None:
    model = STGCN(Skeleton.get("openpose18"), in_channels=2, plan=TINY)
    assert model(torch.randn(2, 8, 18, 2)).shape == (2, 4, 18, 12)
    assert repr(model) == "STGCN('openpose18', in_channels=2, out_channels=12, num_blocks=3)"


def test_refuses_unknown_options() -> None:
    with pytest.raises(ValueError, match="4, 7, 10"):
        STGCN("coco17", num_blocks=5)
    with pytest.raises(ValueError, match="plan is empty"):
        STGCN("coco17", plan=[])
    with pytest.raises(ValueError, match="unknown strategy"):
        STGCN("coco17", strategy="far")


def test_two_blocks_keep_every_frame() -> None:
    encoder = STGCN("kinect20", num_blocks=2)
    assert encoder(torch.randn(1, 13, 20, 3)).shape == (1, 13, 20, 64)


@pytest.mark.parametrize(
    ("plan", "kernel_size", "mixes"),
    [([(4, 1), (8, 1)], 1, False), ([(4, 1), (8, 1)], 3, True), ([(4, 1), (8, 2)], 1, True)],
)
def test_kernels_of_one_frame_keep_frames_apart(plan: list, kernel_size: int, mixes: bool) -> None:
    model = STGCN("coco17", plan=plan, kernel_size=kernel_size)
    assert model.mixes_frames is mixes
    assert_encoder(model, "coco17")
