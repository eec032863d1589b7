from __future__ import annotations

import math

import pytest
import torch
from torch_geometric.utils import scatter

from pyg_fsar import Skeleton
from pyg_fsar.nn import EdgeAttention, SpatialGraphConv

SKELETON = Skeleton.get("coco17")


def edges_within(skeleton: Skeleton, hops: int) -> torch.Tensor:
    return (skeleton.hop_distance() <= hops).nonzero().t()


def test_equals_its_formula() -> None:
    attention = EdgeAttention(6, heads=2)
    x = torch.randn(5, 6)
    weights = attention(x)
    assert weights.shape == (2, 5, 5)
    query, key = attention.query(x), attention.key(x)
    for head in range(2):
        part = slice(3 * head, 3 * head + 3)
        for target in range(5):
            score = key[:, part] @ query[target, part] / math.sqrt(3)
            torch.testing.assert_close(weights[head, :, target], score.softmax(0))


@pytest.mark.parametrize("hops", [None, 0, 1, 3])
def test_weights_of_incoming_edges_sum_to_one(hops: int | None) -> None:
    attention = EdgeAttention(8, heads=4, skeleton=SKELETON, hops=hops)
    weights = attention(torch.randn(2, 3, 17, 8))
    assert weights.shape == (2, 3, 4, 17, 17)
    torch.testing.assert_close(weights.sum(-2), torch.ones(2, 3, 4, 17))
    if hops is not None:
        outside = SKELETON.hop_distance() > hops
        assert (weights[..., outside] == 0).all() and (weights[..., ~outside] > 0).all()


@pytest.mark.parametrize("hops", [None, 1, 2])
def test_dense_and_sparse_routes_agree(hops: int | None) -> None:
    attention = EdgeAttention(8, heads=2, skeleton=SKELETON, hops=hops).double()
    x = torch.randn(17, 8, dtype=torch.float64, requires_grad=True)
    edge_index = edges_within(SKELETON, 17 if hops is None else hops)
    dense = attention(x)[:, edge_index[0], edge_index[1]].t()
    sparse = attention(x, edge_index)
    torch.testing.assert_close(sparse, dense)
    weight = torch.randn_like(dense)
    gradients = [
        torch.autograd.grad((out * weight).sum(), [x, *attention.parameters()])
        for out in (dense, sparse)
    ]
    torch.testing.assert_close(gradients[0], gradients[1])


def test_graphs_of_a_batch_do_not_see_each_other() -> None:
    attention = EdgeAttention(8, heads=2)
    edges = SKELETON.edge_index(self_loops=True)
    x = torch.randn(34, 8)
    both = attention(x, torch.cat([edges, edges + 17], dim=1))
    torch.testing.assert_close(
        both, torch.cat([attention(x[:17], edges), attention(x[17:], edges)])
    )
    incoming = scatter(both, torch.cat([edges[1], edges[1] + 17]), reduce="sum")
    torch.testing.assert_close(incoming, torch.ones(34, 2))


def test_nodes_without_edges_are_no_matter() -> None:
    attention = EdgeAttention(8, heads=2)
    weights = attention(torch.randn(5, 8), torch.tensor([[0, 1, 4], [2, 2, 2]]))
    torch.testing.assert_close(weights.sum(0), torch.ones(2))
    assert attention(torch.randn(5, 8), torch.empty(2, 0, dtype=torch.long)).shape == (0, 2)


def test_follows_a_permutation_of_the_joints() -> None:
    order = torch.randperm(17)
    attention = EdgeAttention(8, heads=2, skeleton=SKELETON, hops=2)
    permuted = EdgeAttention(8, heads=2, skeleton=SKELETON.subset(order.tolist()), hops=2)
    permuted.load_state_dict(attention.state_dict())
    x = torch.randn(3, 17, 8)
    expected = attention(x)[:, :, order][..., order]
    torch.testing.assert_close(permuted(x[:, order]), expected)


def test_is_an_adjacency_that_convolutions_take() -> None:
    attention = EdgeAttention(8, heads=2, skeleton=SKELETON, hops=1)
    conv = SpatialGraphConv(8, 4, num_subsets=2)
    x = torch.randn(3, 17, 8)
    edge_index = edges_within(SKELETON, 1)
    types = torch.arange(2).repeat_interleave(edge_index.size(1))
    for frame, out in zip(x, conv(x, attention(x)), strict=True):
        weights = attention(frame, edge_index).t().flatten()
        torch.testing.assert_close(conv(frame, edge_index.repeat(1, 2), types, weights), out)


def test_gradient_is_exact_and_reaches_every_parameter() -> None:
    attention = EdgeAttention(4, heads=2).double()
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(attention, x)
    edges = torch.tensor([[0, 1, 2, 0], [1, 1, 0, 2]])
    assert torch.autograd.gradcheck(lambda x: attention(x[0], edges), x)
    attention(x).square().sum().backward()
    assert all(parameter.grad.abs().max() > 1e-6 for parameter in attention.parameters())


def test_follows_dtype_and_autocast_and_compiles() -> None:
    attention = EdgeAttention(8, heads=2, skeleton=SKELETON, hops=1)
    x = torch.randn(3, 17, 8)
    torch.compiler.reset()
    compiled = torch.compile(attention, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), attention(x))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert attention(x).isfinite().all()
    assert attention.double()(x.double()).dtype == torch.float64


def test_state_holds_weights_only() -> None:
    attention = EdgeAttention(8, heads=2, skeleton="coco17", hops=2)
    names = ["query.weight", "query.bias", "key.weight"]
    assert list(attention.state_dict()) == names
    assert repr(attention) == "EdgeAttention(8, heads=2, skeleton='coco17', hops=2)"
    before = attention.query.weight.clone()
    attention.reset_parameters()
    assert not torch.equal(attention.query.weight, before)


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="do not divide among heads=3"):
        EdgeAttention(8, heads=3)
    with pytest.raises(ValueError, match="heads=0"):
        EdgeAttention(8, heads=0)
    with pytest.raises(ValueError, match=r"give skeleton=\.\.\."):
        EdgeAttention(8, hops=2)
    with pytest.raises(ValueError, match="hops must not be negative, got -1"):
        EdgeAttention(8, skeleton="coco17", hops=-1)
    attention = EdgeAttention(8, heads=2, skeleton="coco17", hops=1)
    with pytest.raises(ValueError, match=r"channels=\.\.\."):
        attention(torch.randn(17, 6))
    with pytest.raises(ValueError, match="expected joints"):
        attention(torch.randn(8))
    with pytest.raises(ValueError, match="25 joints"):
        attention(torch.randn(25, 8))
    with pytest.raises(ValueError, match=r"nodes must be \[N, C\]"):
        attention(torch.randn(2, 17, 8), SKELETON.edge_index())
    with pytest.raises(ValueError, match=r"edge_index \[2, E\]"):
        attention(torch.randn(17, 8), torch.tensor([0, 1]))
