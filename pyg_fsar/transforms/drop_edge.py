"""Random removal of bones from a graph."""

from __future__ import annotations

import torch
from torch_geometric.data import Data, HeteroData
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.data.storage import EdgeStorage
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import degree

from pyg_fsar import nn

__all__ = ["DropEdge"]


@functional_transform("skeleton_drop_edge")
class DropEdge(BaseTransform):
    r"""Drops a random fraction of a graph's bones and renormalises (functional name:
    :obj:`skeleton_drop_edge`).

    Both directions of a bone are dropped together, and self-loops are kept. The result has an
    ``edge_weight`` whose sum at each joint is the same as before; a graph without weights is
    treated as weighted by :math:`A D^{-1}`, which sums to 1 at each joint. Other edge attributes
    are kept for the remaining edges. A heterogeneous graph loses edges of every relation; between
    two kinds of node there are no self-loops and no other direction.

    A transform has no evaluation mode: bones are dropped whenever it is applied. A clip stores no
    edges; use :class:`pyg_fsar.nn.DropEdge` on its adjacency, or transform its frames.

    Args:
        p: Probability of each bone to be dropped.

    Raises:
        ValueError: If ``p`` is not a probability, or later if the data has no ``edge_index``.

    Example:
        >>> DropEdge(0.2)(data).edge_index.size(0)
        2
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = nn.DropEdge(p).p

    def forward(self, data: Data | HeteroData) -> Data | HeteroData:
        stores = [store for store in data.edge_stores if "edge_index" in store]
        if not stores:
            raise ValueError(
                "DropEdge needs an edge_index, which a clip does not store; use "
                "pyg_fsar.nn.DropEdge on its skeleton's adjacency, or transform clip.to_frames(). "
                "Of a graph with an adj_t, drop edges before ToSparseTensor"
            )
        for store in stores:
            self._drop(store, data)
        return data

    def _drop(self, store: EdgeStorage, data: Data | HeteroData) -> None:
        edge_index = store.edge_index
        number = torch.arange(edge_index.size(1), device=edge_index.device)
        weight = store.get("edge_weight")
        if weight is None:
            dtype = None if isinstance(data, HeteroData) or data.x is None else data.x.dtype
            weight = 1 / degree(edge_index[1], store.size(1), dtype)[edge_index[1]]
        edge_index, kept, weight = nn.drop_edge(
            edge_index, self.p, number, weight, bipartite=store.is_bipartite()
        )
        for key in store.edge_attrs():
            store[key] = store[key][..., kept] if key == "edge_index" else store[key][kept]
        store.edge_index, store.edge_weight = edge_index, weight

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.p})"
