"""Random removal of bones."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter

__all__ = ["DropEdge", "drop_edge"]


def drop_edge(
    adj: Tensor,
    p: float,
    edge_type: Tensor | None = None,
    edge_weight: Tensor | None = None,
    bipartite: bool = False,
) -> Tensor | tuple[Tensor, ...]:
    r"""Drop bones at random, after "DropEdge: Towards Deep Graph Convolutional Networks
    on Node Classification" (ICLR 2020).

    A bone goes in both directions and in all subsets, or not at all; self-loops always stay. The
    weights that remain are scaled so that those reaching each joint sum to what they did before: a
    normalised adjacency stays normalised.

    Args:
        adj: Dense adjacency (floating point) or ``edge_index`` (integer).
        p: Probability of each bone to be dropped.
        edge_type: With ``edge_index``, the subset of each edge.
        edge_weight: With ``edge_index``, the weight of each edge.
        bipartite: With ``edge_index``, whether it leads from one kind of node to another. Then
            equal numbers make no self-loop, and an edge has no other direction.

    Returns:
        The new adjacency; or the new ``edge_index``, and if edge types or weights were given a
        tuple of it and them, to be handed on as ``conv(x, *drop_edge(...))``.

    Shapes:
        - **adj:** :math:`(*, V, V)`, entry ``[..., source, target]``, all subsets in the axis
          before; or :math:`(2, E)`
        - **edge_type, edge_weight:** :math:`(E)`

    Raises:
        ValueError: If ``p`` is not a probability, shapes do not fit together, or edge types are
            not integer.
    """
    _check_probability(p)
    if adj.is_floating_point():
        if (
            adj.dim() < 2
            or adj.size(-1) != adj.size(-2)
            or (edge_type, edge_weight) != (None, None)
            or bipartite
        ):
            raise ValueError(
                "expected a dense adjacency [..., V, V] without edge types and weights, or an "
                f"integer edge_index; got {adj.dtype} {list(adj.shape)}"
            )
        return _drop_dense(adj, p)
    if adj.dim() != 2 or adj.size(0) != 2:
        raise ValueError(
            f"expected a floating point adjacency [..., V, V] or an integer edge_index [2, E], got "
            f"{adj.dtype} {list(adj.shape)}"
        )

    if edge_type is not None and edge_type.is_floating_point():
        raise ValueError(
            f"edge_type must be integer, got {edge_type.dtype}; give weights as edge_weight=..."
        )

    edges = [adj, *(value for value in (edge_type, edge_weight) if value is not None)]
    keep = _kept_edges(adj, p, bipartite)
    kept = [value[..., keep] for value in edges]
    if edge_weight is not None:
        target, size = adj[1], int(adj.max()) + 1 if adj.numel() else 0
        before = scatter(edge_weight, target, dim_size=size, reduce="sum")
        after = scatter(kept[-1], kept[0][1], dim_size=size, reduce="sum")
        kept[-1] = kept[-1] * _ratio(before, after)[kept[0][1]]
    return kept[0] if len(kept) == 1 else tuple(kept)


def _drop_dense(adj: Tensor, p: float) -> Tensor:
    keep = (torch.rand(adj.shape[-2:], device=adj.device) >= p).triu(1)
    loops = torch.eye(adj.size(-1), dtype=torch.bool, device=adj.device)
    kept = adj * (keep | keep.t() | loops)
    subsets_and_sources = (-3, -2) if adj.dim() > 2 else (-2,)
    before = adj.sum(dim=subsets_and_sources, keepdim=True)
    after = kept.sum(dim=subsets_and_sources, keepdim=True)
    return kept * _ratio(before, after)


def _kept_edges(edge_index: Tensor, p: float, bipartite: bool) -> Tensor:
    if bipartite:
        edges, edge = edge_index.unique(dim=1, return_inverse=True)
        return (torch.rand(edges.size(1), device=edge_index.device) >= p)[edge]
    low, high = edge_index.min(dim=0).values, edge_index.max(dim=0).values
    bones, bone = torch.stack([low, high]).unique(dim=1, return_inverse=True)
    keep = torch.rand(bones.size(1), device=edge_index.device) >= p
    return keep[bone] | (low == high)


def _ratio(before: Tensor, after: Tensor) -> Tensor:
    # A joint that lost all its bones and has no self-loop keeps none: zero, not infinity.
    return torch.where(after == 0, 0, before / torch.where(after == 0, 1, after))


def _check_probability(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"the probability to drop a bone must be between 0 and 1, got {p}")


class DropEdge(nn.Module):
    """Drops bones at random in training and none in evaluation, see :func:`drop_edge`.

    Args:
        p: Probability of each bone to be dropped.

    Raises:
        ValueError: If ``p`` is not a probability.

    Example:
        >>> drop = DropEdge(0.1)
        >>> x = conv(x, drop(skeleton.adjacency()))
        >>> x = conv(x, *drop(*skeleton.relations()))
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        _check_probability(p)
        self.p = p

    def forward(
        self,
        adj: Tensor,
        edge_type: Tensor | None = None,
        edge_weight: Tensor | None = None,
        bipartite: bool = False,
    ) -> Tensor | tuple[Tensor, ...]:
        """Drop bones of an adjacency or ``edge_index``; arguments as for :func:`drop_edge`.

        In evaluation, or with ``p = 0``, everything comes back as it is.
        """
        if self.training and self.p > 0:
            return drop_edge(adj, self.p, edge_type, edge_weight, bipartite)
        given = [value for value in (adj, edge_type, edge_weight) if value is not None]
        return given[0] if len(given) == 1 else tuple(given)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.p})"
