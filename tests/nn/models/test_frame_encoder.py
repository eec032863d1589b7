from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch_geometric.nn as gnn
from torch import nn

from pyg_fsar import Skeleton
from pyg_fsar.nn import FrameEncoder, RankMaxConv, SpatialGraphConv

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


def test_temporal_convolutions_follow() -> None:
    encoder = FrameEncoder(gnn.GCNConv(3, 8), SKELETON, num_temporal=2)
    x = torch.randn(2, 11, 17, 3, requires_grad=True)
    out = encoder(x)
    assert out.shape == (2, 11, 17, 8)
    encoder.eval()
    (grad,) = torch.autograd.grad(encoder(x)[:, 0].sum(), x)
    assert grad[:, 8].abs().sum() > 0  # two kernels of 9 see 8 frames ahead
    assert not grad[:, 9:].any()


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
