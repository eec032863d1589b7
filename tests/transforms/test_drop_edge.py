from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data, HeteroData
from torch_geometric.transforms import ToSparseTensor
from torch_geometric.utils import scatter, to_dense_adj

from pyg_fsar import Skeleton
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import DropEdge


def graph(self_loops: bool = True) -> Data:
    edge_index = Skeleton.get("ntu25").edge_index(self_loops)
    order = torch.randperm(edge_index.size(1))
    return Data(x=torch.randn(25, 3), edge_index=edge_index[:, order])


def pairs(data: Data) -> set[tuple[int, int]]:
    return set(map(tuple, data.edge_index.t().tolist()))


def test_bones_go_in_both_directions_and_loops_stay() -> None:
    kept = []
    for _ in range(100):
        result = DropEdge(0.3)(graph())
        edges = pairs(result)
        assert len(edges) == result.num_edges
        assert edges == {(j, i) for i, j in edges}
        assert {(i, i) for i in range(25)} <= edges
        kept.append((len(edges) - 25) / 48)
    assert abs(sum(kept) / 100 - 0.7) < 0.05


def test_weights_are_those_of_the_normalised_remaining_graph() -> None:
    result = DropEdge(0.5)(graph())
    remaining = to_dense_adj(result.edge_index, max_num_nodes=25)[0]
    weights = to_dense_adj(result.edge_index, edge_attr=result.edge_weight, max_num_nodes=25)[0]
    torch.testing.assert_close(weights, remaining / remaining.sum(dim=0))


def test_given_weights_keep_their_sum_at_each_joint() -> None:
    data = graph()
    data.edge_weight = torch.rand(data.num_edges) + 0.1
    result = DropEdge(0.5)(data)
    before = scatter(data.edge_weight, data.edge_index[1], dim_size=25)
    torch.testing.assert_close(
        scatter(result.edge_weight, result.edge_index[1], dim_size=25), before
    )


def test_other_edge_attributes_stay_with_their_edges() -> None:
    data = graph()
    data.edge_attr = data.edge_index.t().float()
    data.edge_type = data.edge_index[0] * 25 + data.edge_index[1]
    result = DropEdge(0.5)(data)
    assert torch.equal(result.edge_attr, result.edge_index.t().float())
    assert torch.equal(result.edge_type, result.edge_index[0] * 25 + result.edge_index[1])


def test_none_or_all() -> None:
    data = graph()
    assert torch.equal(DropEdge(0.0)(data).edge_index, data.edge_index)
    assert pairs(DropEdge(1.0)(data)) == {(i, i) for i in range(25)}
    bare = DropEdge(1.0)(graph(self_loops=False))
    assert bare.edge_index.shape == (2, 0) and bare.edge_weight.shape == (0,)


def test_weights_have_the_dtype_of_the_features() -> None:
    data = graph()
    data.x = data.x.double()
    assert DropEdge(0.5)(data).edge_weight.dtype == torch.float64


def test_errors() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        DropEdge(1.2)
    with pytest.raises(ValueError, match="needs an edge_index, which a clip does not store"):
        DropEdge(0.1)(SkeletonSequence.from_bodies(torch.randn(1, 2, 25, 3)))


def test_heterogeneous_graphs_lose_edges_of_every_relation() -> None:
    data = HeteroData()
    data["joint"].x, data["object"].x = torch.randn(3, 2), torch.randn(4, 2)
    data["joint", "joint"].edge_index = torch.tensor([[0, 0, 1], [0, 1, 0]])
    data["joint", "holds", "object"].edge_index = torch.tensor([[0, 1, 2], [0, 1, 3]])
    data["joint", "holds", "object"].edge_attr = torch.arange(3)
    out = DropEdge(1.0)(data)
    assert out["joint", "joint"].edge_index.tolist() == [[0], [0]]  # the self-loop stays
    assert out["joint", "holds", "object"].num_edges == 0
    assert out["joint", "holds", "object"].edge_attr.numel() == 0
    kept = DropEdge(0.0)(data)["joint", "holds", "object"]
    torch.testing.assert_close(kept.edge_weight, torch.ones(3))


# PyTorch calls the layout of the adjacency experimental.
@pytest.mark.filterwarnings("ignore:Sparse")
def test_tells_of_adj_t() -> None:
    data = ToSparseTensor(layout=torch.sparse_csr)(
        Data(x=torch.randn(2, 3), edge_index=torch.tensor([[0, 1], [1, 0]]))
    )
    with pytest.raises(ValueError, match=r"adj_t.*before ToSparseTensor"):
        DropEdge(0.5)(data)
