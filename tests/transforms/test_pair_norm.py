from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data, HeteroData

from pyg_fsar import nn
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import PairNorm


@pytest.mark.parametrize("mode", ["PN", "PN-SI", "PN-SCS"])
def test_is_the_layer_on_each_frame(mode: str) -> None:
    clip = SkeletonSequence.from_bodies(torch.randn(2, 4, 25, 3))
    layer, transform = nn.PairNorm(2.0, mode), PairNorm(2.0, mode)
    torch.testing.assert_close(transform(clip).bodies, layer(clip.bodies))
    frames = torch.stack([transform(frame).x for frame in clip.to_frames()])
    torch.testing.assert_close(transform(clip).x, frames)


def test_on_a_graph() -> None:
    graph = Data(x=torch.randn(7, 5), edge_index=torch.tensor([[0], [1]]))
    result = PairNorm(3.0)(graph)
    torch.testing.assert_close(result.x.mean(dim=0), torch.zeros(5))
    size = result.x.square().sum(dim=1).mean().sqrt()
    torch.testing.assert_close(size, torch.tensor(3.0), rtol=1e-4, atol=0)
    assert torch.equal(result.edge_index, graph.edge_index)


def test_unknown_mode() -> None:
    with pytest.raises(ValueError, match="unknown mode 'PN-X'"):
        PairNorm(mode="PN-X")


def test_refuses_graphs_without_one_set_of_features() -> None:
    with pytest.raises(TypeError, match=r"HeteroData.*one kind of node"):
        PairNorm()(HeteroData(joint={"x": torch.randn(3, 2)}))
    with pytest.raises(ValueError, match=r"set data\.x"):
        PairNorm()(Data(edge_index=torch.tensor([[0], [1]])))
