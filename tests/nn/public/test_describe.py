from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pyg_fsar import Skeleton
from pyg_fsar.nn import AGCN, describe_public
from pyg_fsar.nn.public.describe import LOADERS
from pyg_fsar.nn.public.state import NETWORKS


def test_every_loader_is_told() -> None:
    assert set(LOADERS) == set(NETWORKS)


def graph(layout: str) -> torch.Tensor:
    """A learned one: the bones and something small everywhere."""
    bones = Skeleton.get(layout).adjacency("spatial")
    return bones + 0.01 * torch.randn_like(bones)


def test_genuine_checkpoint(checkpoints_root: Path) -> None:
    found = describe_public(checkpoints_root / "pyskl_hagrid_stgcnpp.pth")
    assert found.loader == "stgcnpp_from_public"
    assert (found.joints, found.classes, found.stream, found.reason) == (21, 40, None, None)
    assert found.layouts[0] == "hand21"
    assert (found.encoder.in_channels, found.encoder.out_channels) == (2, 128)


@pytest.mark.parametrize("layout", ["coco17", "h36m17", "ntu25", "openpose25"])
def test_layout_is_that_of_the_likest_bones(layout: str) -> None:
    state = {"net.0.gcn1.A": graph(layout), "net.0.gcn1.convs.0.conv4.weight": torch.zeros(1)}
    found = describe_public({"state_dict": state, "meta": {"config": "x feats=['bm']), y"}})
    assert found.layouts[0] == layout
    assert len(found.layouts) > 1
    assert found.loader == "ctrgcn_from_public"
    assert found.stream == "bone motion"
    assert found.encoder is None
    assert "lacks the spatial.value weights of block 0" in str(found.reason)


def test_other_networks() -> None:
    found = describe_public(AGCN("ntu25", plan=[(4, 1)]).state_dict())
    assert (found.loader, found.encoder, found.classes, found.joints) == (None, None, None, None)
    assert found.reason == "no loader knows its names"
    assert found.keys[0] == "input_norm.weight"
    state = {"gcn.0.gcn.conv.weight": torch.zeros(1), "gcn.0.gcn.A": torch.zeros(3, 5, 5)}
    assert describe_public(state).reason == "no registered layout has as many joints"
    state["gcn.0.gcn.A"] = torch.zeros(17)  # no graph
    assert describe_public(state).reason == "no adjacency"
    with pytest.raises(ValueError, match="no tensors by name"):
        describe_public({})
