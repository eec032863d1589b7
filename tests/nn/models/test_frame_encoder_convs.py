"""FrameEncoder over every convolution that PyG lists."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch_geometric.nn as gnn
from torch import nn
from torch_geometric.nn.conv import __all__ as LISTED
from torch_geometric.typing import WITH_TORCH_SPARSE

from pyg_fsar import Skeleton
from pyg_fsar.nn import FrameEncoder

SKELETON = Skeleton.get("coco17")
IN, OUT = 4, 8
DEGREES = torch.bincount(torch.bincount(SKELETON.edge_index()[1]))

# Convolutions made with other arguments than (in_channels, out_channels).
MADE: dict[str, Callable[[], nn.Module]] = {
    "SimpleConv": lambda: gnn.SimpleConv(),
    "ChebConv": lambda: gnn.ChebConv(IN, OUT, K=3),
    "GatedGraphConv": lambda: gnn.GatedGraphConv(OUT, num_layers=2),
    "AGNNConv": lambda: gnn.AGNNConv(),
    "GINConv": lambda: gnn.GINConv(nn.Linear(IN, OUT)),
    "SSGConv": lambda: gnn.SSGConv(IN, OUT, alpha=0.1, K=2),
    "APPNP": lambda: gnn.APPNP(K=2, alpha=0.1),
    "CGConv": lambda: gnn.CGConv(IN),
    "EdgeConv": lambda: gnn.EdgeConv(nn.Linear(2 * IN, OUT)),
    "PNAConv": lambda: gnn.PNAConv(IN, OUT, ["mean", "max"], ["identity", "linear"], DEGREES),
    "PANConv": lambda: gnn.PANConv(IN, OUT, filter_size=2),
    "WLConvContinuous": lambda: gnn.WLConvContinuous(),
    "LGConv": lambda: gnn.LGConv(),
    "GPSConv": lambda: gnn.GPSConv(IN, gnn.GCNConv(IN, IN), heads=2),
    "AntiSymmetricConv": lambda: gnn.AntiSymmetricConv(IN),
    "DirGNNConv": lambda: gnn.DirGNNConv(gnn.SAGEConv(IN, OUT)),
    "MixHopConv": lambda: gnn.MixHopConv(IN, OUT // 2, powers=[0, 1]),
}

# Those that cannot work on a frame of joints and bones alone, and why.
LEFT_OUT = {
    "MessagePassing": "abstract base class",
    "CuGraphSAGEConv": "needs the package pylibcugraphops and its own graph type",
    "CuGraphGATConv": "needs the package pylibcugraphops and its own graph type",
    "CuGraphRGCNConv": "needs the package pylibcugraphops and its own graph type",
    "FusedGATConv": "needs the package dgNN, and compressed rows and columns for edges",
    "GravNetConv": "takes no edges, it makes its own",
    "DynamicEdgeConv": "takes no edges, it makes its own",
    "XConv": "takes no edges but positions",
    "PointNetConv": "needs positions beside the features",
    "PPFConv": "needs positions and normals beside the features",
    "PointTransformerConv": "needs positions beside the features",
    "PointGNNConv": "needs positions beside the features",
    "GINEConv": "needs edge features",
    "GMMConv": "needs edge features",
    "SplineConv": "needs edge features",
    "NNConv": "needs edge features",
    "PDNConv": "needs edge features",
    "RGCNConv": "needs edge types",
    "FastRGCNConv": "needs edge types",
    "RGATConv": "needs edge types",
    "HEATConv": "needs node types, edge types and edge features",
    "HGTConv": "for heterogeneous graphs",
    "HeteroConv": "for heterogeneous graphs",
    "HANConv": "for heterogeneous graphs",
    "SignedConv": "needs positive and negative edges apart",
    "DNAConv": "needs the features of all layers before it",
    "GCN2Conv": "needs the features of the first layer, too",
    "FAConv": "needs the features of the first layer, too",
    "WLConv": "colours nodes by whole numbers, which have no gradient",
    "MeshCNNConv": "its nodes are the edges of a triangle mesh, each with four neighbours",
}

COVERED = [name for name in LISTED if name not in LEFT_OUT]


def encoder_of(name: str, num_temporal: int = 0) -> FrameEncoder:
    if name == "PANConv" and not WITH_TORCH_SPARSE:
        pytest.skip("PANConv needs the package torch-sparse")
    conv = MADE[name]() if name in MADE else getattr(gnn, name)(IN, OUT)
    return FrameEncoder(conv, SKELETON, in_channels=IN, num_temporal=num_temporal)


def test_every_name_stands_for_a_convolution() -> None:
    """A name that PyG dropped leaves the lists; one that it added is tried by itself."""
    assert set(LEFT_OUT) <= set(LISTED)
    assert set(MADE) <= set(COVERED)


@pytest.mark.parametrize("name", COVERED)
def test_encodes_every_frame_on_its_own(name: str) -> None:
    encoder = encoder_of(name).eval()
    x = torch.randn(2, 3, 17, IN)
    with torch.no_grad():
        out = encoder(x)
        changed = x.clone()
        changed[0, 1] += 1
        again = encoder(changed)
    assert out.shape == (2, 3, 17, encoder.out_channels)
    assert encoder.out_channels == OUT or name in MADE
    differs = (again - out).abs().amax(dim=(2, 3)) > 1e-5
    assert differs.tolist() == [[False, True, False], [False, False, False]]
    edge_index = SKELETON.edge_index()
    frame = encoder.gnn(x[1, 2], edge_index)
    frame = frame[0] if isinstance(frame, tuple) else frame
    torch.testing.assert_close(out[1, 2], frame, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", COVERED)
def test_trains(name: str) -> None:
    encoder = encoder_of(name, num_temporal=1)  # so that all have something to learn
    optimizer = torch.optim.SGD(encoder.parameters(), lr=1e-3)
    x = torch.randn(2, 3, 17, IN, requires_grad=True)
    out = encoder(x)
    out.square().mean().backward()
    assert x.grad is not None and x.grad.isfinite().all()
    assert (x.grad.abs().amax(dim=-1) > 0).all()  # every joint of every frame counts
    before = {key: value.clone() for key, value in encoder.gnn.named_parameters()}
    for key, value in encoder.gnn.named_parameters():
        assert value.grad is None or value.grad.isfinite().all(), key
    optimizer.step()
    learnt = [key for key, value in encoder.gnn.named_parameters() if not value.equal(before[key])]
    assert learnt or not before
