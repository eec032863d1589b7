from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch_geometric.utils import dense_to_sparse

from pyg_fsar import Skeleton
from pyg_fsar.nn import SpatialGraphConv


def naive(conv: SpatialGraphConv, x: Tensor, adj: Tensor) -> Tensor:
    """The formula, one edge after another, for one frame."""
    out = x.new_zeros(x.size(0), conv.out_channels)
    for k, source, target in adj.nonzero().tolist():
        message = x[source] @ conv.weight[k]
        if conv.bias is not None:
            message = message + conv.bias[k]
        out[target] += adj[k, source, target] * message
    return out


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("strategy", ["uniform", "distance", "spatial", "spatial_stgcn"])
def test_dense_and_sparse_equal_the_formula(strategy: str, bias: bool) -> None:
    skeleton = Skeleton.get("coco17")
    adj = skeleton.adjacency(strategy)
    conv = SpatialGraphConv(3, 5, num_subsets=len(adj), bias=bias)
    x = torch.randn(2, 4, 17, 3)
    expected = torch.stack([naive(conv, frame, adj) for frame in x.flatten(0, 1)]).view(2, 4, 17, 5)
    torch.testing.assert_close(conv(x, adj), expected)
    torch.testing.assert_close(conv(x, *skeleton.relations(strategy)), expected)
    torch.testing.assert_close(conv(x[0, 0], adj), expected[0, 0])
    torch.testing.assert_close(conv(x[0, 0], *skeleton.relations(strategy)), expected[0, 0])


def test_gradients_of_both_routes_agree() -> None:
    skeleton = Skeleton.get("ntu25")
    conv = SpatialGraphConv(3, 4).double()
    x = torch.randn(6, 25, 3, dtype=torch.double, requires_grad=True)
    adj = skeleton.adjacency().double().requires_grad_()
    edge_index, edge_type, edge_weight = skeleton.relations()
    edge_weight = edge_weight.double().requires_grad_()
    grad = torch.randn(6, 25, 4, dtype=torch.double)
    inputs = [x, conv.weight, conv.bias]
    *dense, adj_grad = torch.autograd.grad(conv(x, adj), [*inputs, adj], grad)
    *sparse, weight_grad = torch.autograd.grad(
        conv(x, edge_index, edge_type, edge_weight), [*inputs, edge_weight], grad
    )
    for one, other in zip(dense, sparse, strict=True):
        torch.testing.assert_close(one, other)
    source, target = edge_index
    torch.testing.assert_close(adj_grad[edge_type, source, target], weight_grad)


@pytest.mark.parametrize("shape", [(2, 7, 3), (2, 5, 7, 3), (2, 2, 5, 7, 3)])
def test_adjacency_per_clip(shape: tuple[int, ...]) -> None:
    conv = SpatialGraphConv(3, 4, num_subsets=2)
    x, adj = torch.randn(shape), torch.rand(2, 2, 7, 7)
    expected = torch.stack([conv(clip, own) for clip, own in zip(x, adj, strict=True)])
    torch.testing.assert_close(conv(x, adj), expected)


def test_ordinary_graph_without_types_and_weights() -> None:
    conv = SpatialGraphConv(3, 4, num_subsets=1)
    x = torch.randn(6, 3)
    adj = (torch.rand(6, 6) < 0.5).float()
    edge_index, _ = dense_to_sparse(adj)
    torch.testing.assert_close(conv(x, edge_index), conv(x, adj[None]))


def test_equivariant_to_order_of_joints() -> None:
    conv = SpatialGraphConv(3, 4)
    x, adj, order = torch.randn(2, 9, 3), torch.rand(3, 9, 9), torch.randperm(9)
    torch.testing.assert_close(
        conv(x[:, order], adj[:, order][:, :, order]), conv(x, adj)[:, order]
    )


def test_no_edges_give_zeros() -> None:
    conv = SpatialGraphConv(3, 4)
    x = torch.randn(2, 5, 3)
    empty = torch.empty(2, 0, dtype=torch.long)
    assert torch.equal(conv(x, empty, empty[0]), torch.zeros(2, 5, 4))
    assert torch.equal(conv(x, torch.zeros(3, 5, 5)), torch.zeros(2, 5, 4))


def test_refuses_what_does_not_fit() -> None:
    skeleton = Skeleton.get("ntu25")
    adj = skeleton.adjacency()
    edge_index, edge_type, edge_weight = skeleton.relations()
    conv = SpatialGraphConv(3, 4)
    x = torch.randn(2, 25, 3)
    with pytest.raises(ValueError, match=r"V, 3\]"):
        conv(torch.randn(2, 25, 4), adj)
    with pytest.raises(ValueError, match="dense adjacency must be"):
        conv(torch.randn(2, 24, 3), adj)
    with pytest.raises(ValueError, match="dense adjacency must be"):
        conv(x, adj[:2])
    with pytest.raises(ValueError, match="dense adjacency must be"):
        conv(x, adj[0])
    with pytest.raises(ValueError, match="5 clips"):
        conv(x, adj.expand(5, 3, 25, 25))
    with pytest.raises(ValueError, match="go with edge_index"):
        conv(x, adj, edge_type)
    with pytest.raises(ValueError, match="needs edge_type"):
        conv(x, edge_index)
    with pytest.raises(ValueError, match=r"edge_index \[2, E\]"):
        conv(x, edge_index.t(), edge_type)
    with pytest.raises(ValueError, match="edge_type must have"):
        conv(x, edge_index, edge_type[1:])
    with pytest.raises(ValueError, match="edge_weight must have"):
        conv(x, edge_index, edge_type, edge_weight[1:])


def test_edge_types_out_of_range_are_never_taken_for_others() -> None:
    edge_index, edge_type, edge_weight = Skeleton.get("ntu25").relations()
    for wrong in (edge_type + 1, edge_type - 1):
        with pytest.raises((IndexError, RuntimeError, ValueError)):
            SpatialGraphConv(3, 4)(torch.randn(25, 3), edge_index, wrong, edge_weight)


def test_repr_and_reset() -> None:
    conv = SpatialGraphConv(3, 4)
    before = conv.weight.clone()
    conv.reset_parameters()
    assert not torch.equal(conv.weight, before)
    assert repr(conv) == "SpatialGraphConv(3, 4, num_subsets=3)"
