"""Random removal of bones from a graph."""

from __future__ import annotations

import torch
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
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
    are kept for the remaining edges.

    A transform has no evaluation mode: bones are dropped whenever it is applied. A clip stores no
    edges; use :class:`pyg_fsar.nn.DropEdge` on its adjacency, or transform its frames.

    Args:
        p: Probability of each bone to be dropped.

    Raises:
        ValueError: If ``p`` is not a probability, or later if the data has no ``edge_index``.
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = nn.DropEdge(p).p

    def forward(self, data: Data) -> Data:
        if data.edge_index is None:
            raise ValueError(
                "DropEdge needs an edge_index, which a clip does not store; use "
                "pyg_fsar.nn.DropEdge on its skeleton's adjacency, or transform clip.to_frames()"
            )
        number = torch.arange(data.num_edges, device=data.edge_index.device)
        weight = data.edge_weight
        if weight is None:
            target, dtype = data.edge_index[1], None if data.x is None else data.x.dtype
            weight = 1 / degree(target, data.num_nodes, dtype)[target]
        edge_index, kept, edge_weight = nn.drop_edge(data.edge_index, self.p, number, weight)
        for key in data.edge_attrs():
            data[key] = data[key][..., kept] if key == "edge_index" else data[key][kept]
        data.edge_index, data.edge_weight = edge_index, edge_weight
        return data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.p})"
