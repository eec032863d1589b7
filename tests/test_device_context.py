"""Nothing that is made under a device context stays in the process, and what is computed under one
follows its input.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial

import pytest
import torch

from pyg_fsar import Skeleton, nn
from pyg_fsar.matching import MATCHERS, build_matcher

SMALL = {
    "plan": [(16, 1), (16, 2)],
    "num_scales": 4,
    "num_window_scales": 3,
    "hidden_channels": 8,
}
ENCODERS: dict[str, Callable[[str], torch.nn.Module]] = {
    name: partial(cls, **{k: v for k, v in SMALL.items() if k in inspect.signature(cls).parameters})
    for name, cls in nn.BACKBONES.items()
}


def skeleton(name: str) -> Skeleton:
    """One that nobody has used before, so that nothing of it can be cached."""
    return Skeleton(name, ("a", "b", "c", "d"), ((1, 0), (2, 1), (3, 2)))


@pytest.mark.parametrize("meta_first", [True, False])
@pytest.mark.parametrize("make", ENCODERS.values(), ids=list(ENCODERS))
def test_a_model_of_the_meta_device_spoils_no_other(
    make: Callable, meta_first: bool, request: pytest.FixtureRequest
) -> None:
    layout = skeleton(request.node.name)
    devices = ["meta", "cpu"] if meta_first else ["cpu", "meta"]
    for device in devices:
        with torch.device(device):
            model = make(layout)
        held = [*model.parameters(), *model.buffers()]
        assert {tensor.device.type for tensor in held} == {device}
    assert layout.adjacency().is_cpu
    assert make(layout)(torch.randn(2, 4, 4, 3)).isfinite().all()


def test_hop_distances_of_inference_mode_may_be_trained_with() -> None:
    layout = skeleton("inference")
    with torch.inference_mode():
        layout.hop_distance()
    assert not layout.hop_distance().is_inference()
    layout.hop_distance()[:] = 7
    assert layout.hop_distance()[0].tolist() == [0, 1, 2, 3]
    with torch.device("meta"):
        assert layout.subset(["b", "c"]).center == 0


@pytest.mark.parametrize("make", ENCODERS.values(), ids=list(ENCODERS))
def test_encoders_follow_their_input(make: Callable) -> None:
    model, x = make("ntu25"), torch.randn(2, 8, 25, 3)
    with torch.device("meta"):
        out = model(x)
        out.sum().backward()
    assert out.is_cpu and out.isfinite().all()


@pytest.mark.parametrize("name", MATCHERS)
def test_matchers_follow_their_input(name: str) -> None:
    matcher = build_matcher(name)
    support, query = torch.randn(4, 8, 25, 256), torch.randn(3, 8, 25, 256)
    y = torch.tensor([0, 0, 1, 1])
    with torch.device("meta"):
        logits = matcher(support, y, query)
    assert logits.is_cpu and logits.isfinite().all()
