from __future__ import annotations

import pytest
import torch

from pyg_fsar import Skeleton
from pyg_fsar.nn import DropEdge, SpatialGraphConv, drop_edge

SKELETON = Skeleton.get("ntu25")
LOOPS = torch.eye(25, dtype=torch.bool)


def test_dense_drops_bones_whole_and_renormalises() -> None:
    adj = SKELETON.adjacency()
    out = drop_edge(adj, 0.5)
    bones = out.sum(0) != 0
    assert torch.equal(bones, bones.t())
    assert bones[LOOPS].all()
    assert not (bones & ~(adj.sum(0) != 0)).any()
    assert LOOPS.sum() < bones.sum() < (adj.sum(0) != 0).sum()
    torch.testing.assert_close(out.sum((0, 1)), torch.ones(25))


def test_share_of_dropped_bones() -> None:
    adj = torch.ones(1, 60, 60)
    for p in (0.1, 0.7):
        kept = drop_edge(adj, p)[0] != 0
        share = 1 - kept.triu(1).sum() / (60 * 59 / 2)
        assert abs(share - p) < 0.05


def test_all_and_none() -> None:
    adj = SKELETON.adjacency()
    torch.testing.assert_close(drop_edge(adj, 0.0), adj)
    torch.testing.assert_close(drop_edge(adj, 1.0).sum(0), torch.eye(25))
    assert torch.equal(drop_edge(adj * ~LOOPS, 1.0), torch.zeros_like(adj))
    edge_index = SKELETON.edge_index(self_loops=True)
    assert torch.equal(drop_edge(edge_index, 0.0), edge_index)
    assert torch.equal(drop_edge(edge_index, 1.0), torch.arange(25).expand(2, -1))
    empty = torch.empty(2, 0, dtype=torch.long)
    assert drop_edge(empty, 0.5).shape == (2, 0)


def test_keeps_the_weight_that_reaches_each_joint() -> None:
    adj = torch.rand(2, 3, 25, 25)
    torch.testing.assert_close(drop_edge(adj, 0.5).sum((1, 2)), adj.sum((1, 2)))
    edge_index, edge_type, edge_weight = SKELETON.relations()
    index, _, weight = drop_edge(edge_index, 0.5, edge_type, edge_weight)
    torch.testing.assert_close(torch.zeros(25).index_add(0, index[1], weight), torch.ones(25))


def test_sparse_drops_bones_whole() -> None:
    edge_index = SKELETON.edge_index(self_loops=True)
    kept = drop_edge(edge_index, 0.5)
    assert 25 < kept.size(1) < edge_index.size(1)
    edges = set(map(tuple, kept.t().tolist()))
    assert all((target, source) in edges for source, target in edges)
    assert all((joint, joint) in edges for joint in range(25))


def test_sparse_and_dense_results_are_the_same_graph() -> None:
    index, kind, weight = drop_edge(*_reordered(SKELETON.relations(), 0.5))
    dense = torch.zeros(3, 25, 25).index_put((kind, *index), weight)
    mask = dense.sum(0) != 0
    expected = SKELETON.adjacency() * mask
    torch.testing.assert_close(dense, expected / expected.sum((0, 1)))


def _reordered(relations: tuple[torch.Tensor, ...], p: float) -> tuple:
    return relations[0], p, relations[1], relations[2]


def test_module_draws_in_training_only() -> None:
    drop, adj, relations = DropEdge(0.5), SKELETON.adjacency(), SKELETON.relations()
    assert not torch.equal(drop(adj), drop(adj))
    drop.eval()
    assert drop(adj) is adj
    assert all(out is given for out, given in zip(drop(*relations), relations, strict=True))
    assert drop(relations[0]) is relations[0]
    assert DropEdge(0.0)(adj) is adj


def test_result_is_what_the_convolution_takes() -> None:
    conv, drop, x = SpatialGraphConv(3, 4), DropEdge(0.5), torch.randn(2, 25, 3)
    torch.manual_seed(3)
    sparse = conv(x, *drop(*SKELETON.relations()))
    assert sparse.shape == conv(x, drop(SKELETON.adjacency())).shape == (2, 25, 4)


def test_dense_route_lets_gradients_through() -> None:
    adj = SKELETON.adjacency().requires_grad_()
    drop_edge(adj, 0.5).square().sum().backward()
    assert adj.grad is not None and adj.grad.isfinite().all()


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_refuses_what_is_no_probability(p: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        DropEdge(p)
    with pytest.raises(ValueError, match="between 0 and 1"):
        drop_edge(SKELETON.adjacency(), p)


def test_refuses_shapes_that_do_not_fit() -> None:
    edge_index, edge_type, _ = SKELETON.relations()
    for adj, kind in [
        (torch.rand(3, 5, 4), None),
        (SKELETON.adjacency(), edge_type),
        (SKELETON.adjacency().long(), None),
        (edge_index.t(), None),
    ]:
        with pytest.raises(ValueError, match=r"\[..., V, V\]"):
            drop_edge(adj, 0.5, kind)


def test_weights_in_place_of_types_are_refused() -> None:
    edge_index, _, edge_weight = SKELETON.relations()
    with pytest.raises(ValueError, match="edge_weight="):
        drop_edge(edge_index, 0.5, edge_weight)


def test_relations_between_two_kinds_of_node_have_no_loops() -> None:
    edge_index = torch.tensor([[0, 1, 2, 2], [0, 1, 1, 2]])
    assert drop_edge(edge_index, 1.0, bipartite=True).shape == (2, 0)
    assert torch.equal(drop_edge(edge_index, 0.0, bipartite=True), edge_index)
    # The one edge is not the other direction of the other.
    both = torch.tensor([[0, 1], [1, 0]])
    sizes = {drop_edge(both, 0.5, bipartite=True).size(1) for _ in range(50)}
    assert sizes == {0, 1, 2}
