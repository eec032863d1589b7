from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
import torch_geometric.nn as gnn
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pyg_fsar import Skeleton
from pyg_fsar.nn import RankMax, RankMaxConv, SpatialGraphConv

EDGE_INDEX = Skeleton.get("ntu25").edge_index()


@pytest.mark.parametrize(
    ("conv", "kwargs"),
    [
        (None, {}),
        (gnn.GCNConv, {"improved": True}),
        (gnn.SAGEConv, {}),
        (gnn.GraphConv, {}),
        (gnn.GATConv, {"heads": 2, "concat": False}),
        (gnn.GATv2Conv, {}),
        (gnn.TransformerConv, {}),
        (gnn.ChebConv, {"K": 2}),
    ],
)
def test_convolves_as_what_it_wraps(conv: Any, kwargs: dict[str, Any]) -> None:
    layer = RankMaxConv(3, 8, conv, **kwargs)
    x = torch.randn(25, 3)
    out = layer(x, EDGE_INDEX)
    assert isinstance(layer.conv, conv or gnn.GCNConv)
    assert torch.equal(out, layer.conv(x, EDGE_INDEX))
    torch.testing.assert_close(layer.get_rank_loss(), RankMax()(out))


def test_wraps_instances() -> None:
    conv = gnn.GINConv(nn.Linear(3, 8))
    layer = RankMaxConv(3, 8, conv=conv, method="fbnm")
    out = layer(torch.randn(25, 3), EDGE_INDEX)
    assert layer.conv is conv
    torch.testing.assert_close(layer.get_rank_loss(), RankMax("fbnm")(out))


def test_penalises_each_graph_of_a_batch() -> None:
    graphs = [Data(x=torch.randn(n, 3), edge_index=EDGE_INDEX % n) for n in (25, 7, 12)]
    batch = Batch.from_data_list(graphs)
    layer = RankMaxConv(3, 8)
    layer(batch.x, batch.edge_index, batch=batch.batch)
    loss = layer.get_rank_loss()
    each = []
    for graph in graphs:
        layer(graph.x, graph.edge_index)
        each.append(layer.get_rank_loss())
    torch.testing.assert_close(loss, torch.stack(each).mean())


def test_static_graphs_and_further_arguments() -> None:
    weight = torch.rand(EDGE_INDEX.size(1))
    layer = RankMaxConv(3, 8, conv=gnn.GCNConv)
    x = torch.randn(2, 4, 25, 3)
    out = layer(x, EDGE_INDEX, weight)
    assert out.shape == (2, 4, 25, 8)
    assert torch.equal(out, layer(x, EDGE_INDEX, edge_weight=weight))
    torch.testing.assert_close(layer.get_rank_loss(), RankMax()(out))
    ours = RankMaxConv(3, 8, conv=SpatialGraphConv)
    assert ours(x, Skeleton.get("ntu25").adjacency()).shape == (2, 4, 25, 8)


def test_penalty_reaches_the_weights() -> None:
    layer = RankMaxConv(3, 8)
    layer(torch.randn(25, 3), EDGE_INDEX)
    layer.get_rank_loss().backward()
    assert layer.conv.lin.weight.grad.abs().sum() > 0


def test_within_pyg_sequential_and_models() -> None:
    x = torch.randn(25, 3)
    first, second = RankMaxConv(3, 8), RankMaxConv(8, 4)
    model = gnn.Sequential(
        "x, edge_index",
        [(first, "x, edge_index -> x"), nn.ReLU(), (second, "x, edge_index -> x")],
    )
    assert model(x, EDGE_INDEX).shape == (25, 4)

    class RankMaxGCN(gnn.GCN):
        def init_conv(self, in_channels: int, out_channels: int, **kwargs: Any) -> nn.Module:
            return RankMaxConv(in_channels, out_channels, **kwargs)

    network = RankMaxGCN(3, 8, num_layers=2)
    network(x, EDGE_INDEX)
    assert sum(conv.get_rank_loss() for conv in network.convs).isfinite()


def test_returns_attention_weights_where_asked() -> None:
    layer = RankMaxConv(3, 8, conv=gnn.GATConv)
    out, attention = layer(torch.randn(25, 3), EDGE_INDEX, return_attention_weights=True)
    assert len(attention) == 2
    torch.testing.assert_close(layer.get_rank_loss(), RankMax()(out))


def test_can_be_copied_and_pickled_after_a_forward_pass() -> None:
    layer = RankMaxConv(3, 8)
    out = layer(x := torch.randn(25, 3), EDGE_INDEX)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        with pytest.raises(RuntimeError, match="first forward"):
            twin.get_rank_loss()
        assert torch.equal(twin(x, EDGE_INDEX), out)
    assert layer.get_rank_loss().isfinite()


def test_reset_parameters_and_repr() -> None:
    layer = RankMaxConv(3, 8)
    before = layer.conv.lin.weight.clone()
    layer.reset_parameters()
    assert not torch.equal(layer.conv.lin.weight, before)
    assert repr(layer) == "RankMaxConv(GCNConv(3, 8), method='nuclear')"


def test_refuses_contradictions() -> None:
    with pytest.raises(RuntimeError, match="first forward"):
        RankMaxConv(3, 8).get_rank_loss()
    with pytest.raises(ValueError, match="out_channels is 8"):
        RankMaxConv(3, 8, conv=gnn.GCNConv(3, 16))
    with pytest.raises(ValueError, match="in_channels is 3"):
        RankMaxConv(3, 8, conv=gnn.GCNConv(2, 8))
    with pytest.raises(ValueError, match="improved"):
        RankMaxConv(3, 8, conv=gnn.GCNConv(3, 8), improved=True)
    with pytest.raises(ValueError, match="unknown method"):
        RankMaxConv(3, 8, method="rank")


def test_concatenated_heads_count() -> None:
    x, edge_index = torch.randn(5, 3), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
    conv = RankMaxConv(3, 16, conv=gnn.GATConv(3, 8, heads=2))
    assert conv(x, edge_index).shape == (5, 16)
    assert (
        RankMaxConv(3, 8, conv=gnn.GATConv(3, 8, heads=2, concat=False))(x, edge_index).size(1) == 8
    )
    with pytest.raises(ValueError, match="out_channels is 8"):
        RankMaxConv(3, 8, conv=gnn.GATConv(3, 8, heads=2))


def test_heterogeneous_models_have_a_penalty_for_each_relation() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = RankMaxConv(3, 4, conv=gnn.SAGEConv)
            self.linear = nn.Linear(4, 2)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.linear(self.conv(x, edge_index).relu())

    edges = torch.tensor([[0, 1, 2], [1, 2, 3]])
    relations = [("a", "to", "b"), ("b", "to", "a")]
    model = gnn.to_hetero(Model(), (["a", "b"], relations))
    out = model({"a": torch.randn(4, 3), "b": torch.randn(5, 3)}, dict.fromkeys(relations, edges))
    assert {kind: tuple(x.shape) for kind, x in out.items()} == {"a": (4, 2), "b": (5, 2)}
    losses = [m.get_rank_loss() for m in model.modules() if isinstance(m, RankMaxConv)]
    assert len(losses) == 2 and losses[0] != losses[1]
