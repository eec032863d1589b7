from __future__ import annotations

import copy
import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch_geometric.nn as gnn
from torch import nn

from pyg_fsar import Skeleton
from pyg_fsar.nn import FrameEncoder, PairNorm, RankMaxConv, SpatialGraphConv
from pyg_fsar.testing import assert_encoder

SKELETON = Skeleton.get("coco17")
GNNS: dict[str, Callable[[], nn.Module]] = {
    "GCNConv": lambda: gnn.GCNConv(3, 8),
    "GATConv": lambda: gnn.GATConv(3, 4, heads=2),
    "GATv2Conv": lambda: gnn.GATv2Conv(3, 4, heads=2),
    "SAGEConv": lambda: gnn.SAGEConv(3, 8),
    "GINConv": lambda: gnn.GINConv(nn.Linear(3, 8)),
    "TransformerConv": lambda: gnn.TransformerConv(3, 8),
    "EdgeConv": lambda: gnn.EdgeConv(nn.Linear(6, 8)),
    "ChebConv": lambda: gnn.ChebConv(3, 8, K=2),
    "SpatialGraphConv": lambda: SpatialGraphConv(3, 8, num_subsets=1),
    "RankMaxConv": lambda: RankMaxConv(3, 8),
    "GCN": lambda: gnn.GCN(3, 8, num_layers=2, norm="pair_norm"),
    "GAT": lambda: gnn.GAT(3, 8, num_layers=2, v2=True, norm="graph_norm"),
    "PNA-like lazy": lambda: gnn.SAGEConv(-1, 8, aggr=["mean", "max"]),
}


@pytest.mark.parametrize("name", list(GNNS))
def test_equals_the_model_on_each_frame(name: str) -> None:
    encoder = FrameEncoder(GNNS[name](), SKELETON).eval()
    x = torch.randn(2, 5, 17, 3)
    out = encoder(x)
    assert (encoder.in_channels, encoder.out_channels) == (3, 8)
    edge_index = SKELETON.edge_index()
    expected = torch.stack([encoder.gnn(frame, edge_index) for frame in x.flatten(0, 1)])
    torch.testing.assert_close(out, expected.view(2, 5, 17, 8))


def test_trial_run_leaves_no_trace() -> None:
    model = gnn.GCN(3, 8, num_layers=2, norm="batch_norm")
    encoder = FrameEncoder(model, SKELETON)
    assert model.training
    assert not encoder.gnn.norms[0].module.running_mean.any()


def test_trial_run_keeps_the_mode_of_every_part() -> None:
    model = gnn.GCN(3, 8, num_layers=2, norm="batch_norm")
    model.norms.eval()  # frozen statistics in a model that is trained
    FrameEncoder(model, SKELETON)
    assert model.training and model.convs[0].training
    assert not any(part.training for part in model.norms.modules())


def test_trial_run_is_where_the_model_is() -> None:
    encoder = FrameEncoder(gnn.SAGEConv(3, 8).to("meta"), SKELETON)
    assert encoder.out_channels == 8


@pytest.mark.parametrize(
    ("model", "options", "cure"),
    [
        (
            gnn.GCNConv(4, 8),
            {"in_channels": 3},
            "in_channels=3: .*, in_channels=4, or out_channels",
        ),
        (
            gnn.EdgeConv(nn.Linear(8, 8)),
            {},
            r"in_channels=3: .*, in_channels=\.\.\., or out_channels",
        ),
        (gnn.GAT(4, 8, num_layers=2), {"in_channels": 5}, "in_channels=5: .*, in_channels=4,"),
    ],
)
def test_refuses_other_channels(model: nn.Module, options: dict[str, int], cure: str) -> None:
    with pytest.raises(ValueError, match=cure) as caught:
        FrameEncoder(model, SKELETON, **options)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert str(caught.value.__cause__) in str(caught.value)
    assert all(part.training for part in model.modules())
    assert FrameEncoder(model, SKELETON, in_channels=4).out_channels == 8


def test_temporal_convolutions_follow() -> None:
    encoder = FrameEncoder(gnn.GCNConv(3, 8), SKELETON, num_temporal=2)
    x = torch.randn(2, 11, 17, 3, requires_grad=True)
    out = encoder(x)
    assert out.shape == (2, 11, 17, 8)
    encoder.eval()
    (grad,) = torch.autograd.grad(encoder(x)[:, 0].sum(), x)
    assert grad[:, 8].abs().sum() > 0  # two kernels of 9 see 8 frames ahead
    assert not grad[:, 9:].any()


def test_only_temporal_convolutions_mix_frames() -> None:
    for num_temporal in (0, 1):
        encoder = FrameEncoder(gnn.GCNConv(3, 8), SKELETON, num_temporal=num_temporal)
        assert encoder.mixes_frames is (num_temporal > 0)
        assert_encoder(encoder, SKELETON)


@pytest.mark.parametrize("frames", [1, 2])
def test_temporal_convolutions_take_few_frames(frames: int) -> None:
    encoder = FrameEncoder(gnn.GCNConv(3, 8), SKELETON, num_temporal=2)
    assert encoder(torch.randn(3, frames, 17, 3)).shape == (3, frames, 17, 8)


class Doubled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


class WithAttention(nn.Module):
    """Returns more than features, as attention layers do when asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = gnn.GATConv(3, 8)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> tuple[object, ...]:
        return self.conv(x, edge_index, return_attention_weights=True)


def test_takes_the_features_of_a_tuple() -> None:
    model = WithAttention()
    x = torch.randn(2, 5, 17, 3)
    torch.testing.assert_close(
        FrameEncoder(model, SKELETON)(x), FrameEncoder(model.conv, SKELETON)(x)
    )


def test_takes_models_of_other_precision() -> None:
    encoder = FrameEncoder(gnn.GCNConv(3, 8).double(), SKELETON)
    assert encoder(torch.randn(2, 5, 17, 3).double()).dtype == torch.double


def test_penalty_of_frames() -> None:
    encoder = FrameEncoder(RankMaxConv(3, 8), SKELETON)
    out = encoder(torch.randn(2, 5, 17, 3))
    torch.testing.assert_close(encoder.gnn.get_rank_loss(), encoder.gnn.rank_max(out))


def test_refuses_what_does_not_fit() -> None:
    encoder = FrameEncoder(gnn.GCNConv(3, 8), SKELETON)
    assert repr(encoder) == "FrameEncoder(GCNConv(3, 8), 'coco17', in_channels=3, out_channels=8)"
    with pytest.raises(ValueError, match="25 joints"):
        encoder(torch.randn(2, 5, 25, 3))
    with pytest.raises(ValueError, match="3 channels"):
        encoder(torch.randn(2, 5, 17, 2))
    with pytest.raises(ValueError, match=r"\[B, T, V, C\]"):
        encoder(torch.randn(5, 17, 3))
    wrong = FrameEncoder(gnn.GCNConv(3, 8), SKELETON, out_channels=16)
    with pytest.raises(ValueError, match="out_channels=16"):
        wrong(torch.randn(2, 5, 17, 3))
    with pytest.raises(ValueError, match="at least one frame"):
        encoder(torch.randn(2, 0, 17, 3))
    with pytest.raises(ValueError, match="at least one with"):
        encoder(torch.randn(0, 5, 17, 3))
    with pytest.raises(ValueError, match="num_temporal must be 0 or more, got -1"):
        FrameEncoder(gnn.GCNConv(3, 8), SKELETON, num_temporal=-1)
    with pytest.raises(ValueError, match="cached=False"):
        FrameEncoder(gnn.GCN(3, 8, num_layers=2, cached=True), SKELETON)


def test_norm_follows_every_graph_convolution_frame_by_frame() -> None:
    model = gnn.GCN(3, 8, num_layers=2)
    x, edges, norm = torch.randn(2, 5, 17, 3), SKELETON.edge_index(), PairNorm(2.0)
    first, second = model.convs
    expected = [norm(second(norm(first(frame, edges)).relu(), edges)) for frame in x.flatten(0, 1)]
    encoder = FrameEncoder(model, SKELETON, norm=PairNorm(2.0))
    assert len(encoder.norms) == 2
    torch.testing.assert_close(encoder(x), torch.stack(expected).view(2, 5, 17, 8))


@pytest.mark.parametrize("name", list(GNNS))
def test_every_model_takes_a_norm_and_drops_bones(name: str) -> None:
    encoder = FrameEncoder(GNNS[name](), SKELETON, norm="pairnorm", drop_edge=0.3)
    if "lazy" not in name:
        assert_encoder(encoder, SKELETON, num_frames=4)
    spread = encoder.eval()(torch.randn(2, 4, 17, 3)).square().sum(-1).mean(-1)
    torch.testing.assert_close(spread, torch.ones(2, 4), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("name", list(GNNS))
def test_a_norm_leaves_the_given_model_as_it_is(name: str, tmp_path: Path) -> None:
    model = GNNS[name]()
    without = FrameEncoder(model, SKELETON).eval()
    assert without.gnn is model
    x = torch.randn(2, 5, 17, 3)
    before = without(x)
    first = FrameEncoder(model, SKELETON, norm=nn.LayerNorm(8)).eval()
    nn.init.constant_(first.norms[0].weight, 2.0)
    normed = first(x)
    assert not torch.allclose(normed, before, atol=1e-2)
    second = FrameEncoder(model, SKELETON, norm="pairnorm").eval()
    torch.testing.assert_close(without(x), before)
    torch.testing.assert_close(first(x), normed)

    first.save_pretrained(tmp_path)
    for again in (model, second.gnn):  # one with norms of its own, which do not pile up
        loaded = FrameEncoder.from_pretrained(tmp_path, gnn=again, norm=nn.LayerNorm(8))
        torch.testing.assert_close(loaded(x), normed)
        torch.testing.assert_close(FrameEncoder(again, SKELETON).eval()(x), before)
    torch.testing.assert_close(without(x), before)


def test_a_norm_shares_the_weights_of_the_given_model() -> None:
    model = gnn.GCN(3, 8, num_layers=2, norm="batch_norm", jk="lstm")
    encoder = FrameEncoder(model, SKELETON, norm="pairnorm")
    x = torch.randn(2, 5, 17, 3)
    for mine, its in ((model, encoder.gnn), (model.double(), encoder.double().gnn)):
        for name, weight in mine.state_dict(keep_vars=True).items():
            assert weight is its.state_dict(keep_vars=True)[name], name
    encoder(x.double()).square().sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    assert not encoder.eval()(x.double()).any()
    twin = copy.deepcopy(encoder)
    assert not {*map(id, twin.parameters())} & {*map(id, model.parameters())}


def test_a_convolution_used_twice_gets_one_norm() -> None:
    conv = gnn.SAGEConv(3, 8)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.ModuleList([conv]), nn.ModuleList([conv])

        def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
            return self.one[0](x, edge_index) + self.two[0](x, edge_index)

    x = torch.randn(2, 5, 17, 3)
    encoder = FrameEncoder(Twice(), SKELETON, norm=Doubled())
    assert len(encoder.norms) == 1
    torch.testing.assert_close(encoder(x), 4 * FrameEncoder(conv, SKELETON)(x))


def test_norms_with_weights_are_copies_and_go_along_with_the_encoder() -> None:
    encoder = FrameEncoder(gnn.GCN(3, 8, num_layers=2), SKELETON, norm=nn.LayerNorm(8))
    x = torch.randn(2, 5, 17, 3)
    before = encoder(x)
    buffer = io.BytesIO()
    torch.save(encoder, buffer)
    buffer.seek(0)
    for twin in (copy.deepcopy(encoder), torch.load(buffer, weights_only=False)):
        torch.testing.assert_close(twin(x), before)
        nn.init.zeros_(twin.norms[1].weight)
        nn.init.ones_(twin.norms[1].bias)
        torch.testing.assert_close(twin(x), torch.ones(2, 5, 17, 8))
    torch.testing.assert_close(encoder(x), before)
    encoder(x).square().sum().backward()
    assert all(weight.grad is not None for weight in encoder.norms.parameters())
    assert [name for name in encoder.state_dict() if name.startswith("norms")] == [
        f"norms.{number}.{kind}" for number in range(2) for kind in ("weight", "bias")
    ]


def test_drop_edge_is_the_same_for_all_frames_and_layers_and_not_in_evaluation() -> None:
    encoder = FrameEncoder(gnn.GCN(3, 8, num_layers=2), SKELETON, drop_edge=0.5)
    seen = []
    for conv in encoder.gnn.convs:
        conv.register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    encoder(torch.randn(2, 5, 17, 3))
    assert torch.equal(seen[0], seen[1])
    frames = seen[0].view(2, 10, -1) - 17 * torch.arange(10).view(10, 1)
    assert (frames == frames[:, :1]).all()
    kept = {tuple(edge) for edge in frames[:, 0].t().tolist()}
    bones = {tuple(edge) for edge in SKELETON.edge_index().t().tolist()}
    assert kept < bones and all((target, source) in kept for source, target in kept)
    encoder(torch.randn(2, 5, 17, 3))
    assert not torch.equal(seen[2], seen[0])
    encoder.eval()(torch.randn(2, 5, 17, 3))
    assert seen[-1].size(1) == 10 * len(bones)


def test_compiles_with_a_norm() -> None:
    torch.compiler.reset()
    encoder = FrameEncoder(gnn.SAGEConv(3, 8), SKELETON, norm="pairnorm").eval()
    x = torch.randn(2, 5, 17, 3)
    compiled = torch.compile(encoder, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), encoder(x))


def test_refuses_strategies_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="unknown norm"):
        FrameEncoder(gnn.GCNConv(3, 8), SKELETON, norm="layer")
    with pytest.raises(ValueError, match="no MessagePassing convolution"):
        FrameEncoder(gnn.DenseGCNConv(3, 8), SKELETON, out_channels=8, norm="pairnorm")
    with pytest.raises(ValueError, match="between 0 and 1"):
        FrameEncoder(gnn.GCNConv(3, 8), SKELETON, drop_edge=1.5)
