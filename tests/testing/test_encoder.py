from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch_geometric.nn as gnn
from torch import Tensor, nn

from pyg_fsar.nn import STGCN, FrameEncoder
from pyg_fsar.testing import assert_encoder

PLAN = [(4, 1), (8, 2)]


@pytest.mark.parametrize(
    "encoder",
    [
        STGCN("coco17", plan=PLAN),
        STGCN("coco17", plan=PLAN, norm="pairnorm", drop_edge=0.2, edge_importance=True).double(),
        FrameEncoder(gnn.GAT(3, 8, num_layers=2, norm="batch_norm"), "coco17", num_temporal=1),
    ],
)
def test_accepts_ours_and_leaves_them_alone(encoder: nn.Module) -> None:
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    assert_encoder(encoder, "coco17")
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    assert encoder.training and all(p.grad is None for p in encoder.parameters())


class Broken(nn.Module):
    in_channels, out_channels = 3, 4

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.linear(x))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.mean(2), r"\[B, T', V, C'\]"),
        (lambda x: x[:, :0], "leaves no frame"),
        (lambda x: x[..., :2], "expected output"),
        (lambda x: x - x.mean(0), "depends on other bodies"),
        (lambda x: x.detach().requires_grad_(), "gets no gradient"),
        (lambda x: x / (x - x.detach()).norm(), "NaN"),
    ],
)
def test_tells_what_is_wrong(function: Callable[[Tensor], Tensor], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_encoder(Broken(function), "coco17")


def test_tells_of_missing_attributes() -> None:
    with pytest.raises(AssertionError, match="in_channels"):
        assert_encoder(nn.Identity(), "coco17")


class FrameWise(nn.Module):
    """Says that it encodes every frame on its own."""

    in_channels = out_channels = 3
    mixes_frames = False

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def test_checks_what_an_encoder_says_of_its_frames() -> None:
    assert_encoder(FrameWise(lambda x: 2 * x), "coco17")
    mixing = FrameWise(lambda x: x + x.roll(1, dims=1))
    mixing.mixes_frames = True
    assert_encoder(mixing, "coco17")
    for function, message in [
        (lambda x: x + x.roll(1, dims=1), "depends on other frames"),
        (lambda x: x - x.mean(1, keepdim=True), "depends on other frames"),
        (lambda x: x.cumsum(1), "depends on other frames"),
        (lambda x: x[:, ::2], "mixes_frames=False, but makes 6 frames of 12"),
    ]:
        with pytest.raises(AssertionError, match=message):
            assert_encoder(FrameWise(function), "coco17")
