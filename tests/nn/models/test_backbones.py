"""What holds for every backbone; each has its own file for the rest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pyg_fsar.nn import (
    AAGCN,
    AGCN,
    CTRGCN,
    MSG3D,
    STGCN,
    STGCNPP,
    MultiStream,
    PairNorm,
    SkeletonEncoder,
    SkeletonLSTM,
)
from pyg_fsar.testing import assert_encoder

# Tiny, with one temporal stride of 2.
PLAN = {"plan": [(8, 1), (12, 2)]}
BACKBONES: dict[str, Callable[..., SkeletonEncoder]] = {
    "STGCN": partial(STGCN, **PLAN),
    "AGCN": partial(AGCN, **PLAN),
    "AAGCN": partial(AAGCN, **PLAN),
    "CTRGCN": partial(CTRGCN, **PLAN),
    "MSG3D": partial(MSG3D, **PLAN, num_scales=4, num_window_scales=3),
    "STGCNPP": partial(STGCNPP, **PLAN),
}
backbones = pytest.mark.parametrize("make", BACKBONES.values(), ids=list(BACKBONES))
# Those without blocks, which have tests of their own for most of this.
OTHERS: dict[str, Callable[..., SkeletonEncoder]] = {
    "SkeletonLSTM": partial(SkeletonLSTM, hidden_channels=6),
    "MultiStream": lambda skeleton: MultiStream(partial(STGCN, skeleton, **PLAN)),
}
EVERY = BACKBONES | OTHERS


def wake(model: nn.Module) -> None:
    """Give norms weights and statistics that matter: some begin next to zero."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.running_mean)


@backbones
@pytest.mark.parametrize("skeleton", ["openpose18", "kinect20", "ntu25", "mediapipe33"])
def test_is_an_encoder_of_every_skeleton(make: Callable, skeleton: str) -> None:
    model = make(skeleton)
    wake(model)
    assert_encoder(model, skeleton, num_frames=9)
    assert model(torch.randn(2, 9, model.skeleton.num_joints, 3)).shape[1] == 5


@pytest.mark.parametrize("make", EVERY.values(), ids=list(EVERY))
def test_says_whether_frames_mix(make: Callable) -> None:
    model = make("coco17").eval()
    wake(model)
    assert model.mixes_frames
    x = torch.randn(1, 8, 17, 3)
    other = torch.cat([x[:, :3] + 1, x[:, 3:]], dim=1)
    assert not torch.allclose(model(x)[:, -1], model(other)[:, -1])


@backbones
def test_norm_and_drop_edge_by_one_argument_each(make: Callable) -> None:
    model = make("coco17", norm="pairnorm", drop_edge=0.5)
    wake(model)
    assert sum(isinstance(module, PairNorm) for module in model.modules()) >= 2
    assert_encoder(model, "coco17")
    x = torch.randn(2, 8, 17, 3)
    model.apply(lambda module: setattr(module, "p", 0.0) if isinstance(module, nn.Dropout) else 0)
    assert not torch.allclose(model(x), model(x))  # other bones each time
    model.eval()
    torch.testing.assert_close(model(x), model(x))


@backbones
def test_norm_matters_and_is_copied_for_every_block(make: Callable) -> None:
    given = nn.LayerNorm(17)

    class OverJoints(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = given

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x.mT).mT

    torch.manual_seed(0)
    model = make("coco17", norm=OverJoints())
    torch.manual_seed(0)
    plain = make("coco17")
    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
    assert len(norms) >= 2 and given not in norms
    for encoder in (model, plain):
        torch.manual_seed(1)
        wake(encoder.eval())
    x = torch.randn(2, 8, 17, 3)
    assert not torch.allclose(model(x), plain(x))


@backbones
def test_trains_compiled_without_graph_breaks(make: Callable) -> None:
    torch.compiler.reset()
    model = make("coco17", norm="pairnorm", drop_edge=0.3, plan=[(12, 2)])
    wake(model)
    x = torch.randn(2, 8, 17, 3)
    results = []
    for encoder in (model, torch.compile(model, fullgraph=True, backend="aot_eager")):
        torch.manual_seed(1)  # the same bones and features are dropped
        out = encoder(x)
        gradients = torch.autograd.grad(out.square().mean(), list(model.parameters()))
        results.append([out, *gradients])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


@backbones
def test_follows_dtype_and_autocast(make: Callable) -> None:
    model = make("coco17", dropout=0.0)
    wake(model)
    x = torch.randn(2, 8, 17, 3)
    assert model.double()(x.double()).dtype == torch.double
    model.float().eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(x)
    out.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    exact = model(x)
    assert (out - exact).norm() < 0.05 * exact.norm()


@backbones
def test_other_channels_and_input_norm(make: Callable) -> None:
    model = make("openpose18", in_channels=2, input_norm="channel")
    assert model.input_norm.num_features == 2
    assert model(torch.randn(2, 8, 18, 2)).shape == (2, 4, 18, model.out_channels)


@backbones
def test_state_goes_to_another_skeleton_only_if_joints_agree(make: Callable) -> None:
    model = make("ntu25")
    make("openpose25").load_state_dict(model.state_dict())
    with pytest.raises(RuntimeError, match="size mismatch"):
        make("coco17").load_state_dict(model.state_dict())


@backbones
def test_refuses_what_does_not_fit(make: Callable) -> None:
    model = make("coco17")
    with pytest.raises(ValueError, match=r"25 joints.*'coco17'.*choose the layout"):
        model(torch.randn(2, 8, 25, 3))
    with pytest.raises(ValueError, match=r"3 channels.*in_channels=2"):
        model(torch.randn(2, 8, 17, 2))
    with pytest.raises(ValueError, match=r"\[B, T, V, C\]"):
        model(torch.randn(8, 17, 3))
    with pytest.raises(ValueError, match=r"1 frames.*at least 2.*ResampleFrames"):
        model(torch.randn(2, 1, 17, 3))
    with pytest.raises(ValueError, match="unknown norm 'layer'; give 'pairnorm' or a module"):
        make("coco17", norm="layer")
    with pytest.raises(ValueError, match="between 0 and 1"):
        make("coco17", drop_edge=1.5)
    with pytest.raises(ValueError, match="'joint' or 'channel'"):
        make("coco17", input_norm="layer")


@pytest.mark.parametrize("make", EVERY.values(), ids=list(EVERY))
def test_saved_and_loaded_it_is_the_same(make: Callable, tmp_path: Path) -> None:
    model = make("mediapipe33")
    wake(model)
    x = torch.randn(2, 9, 33, 3)
    model(x)  # for statistics other than those it began with
    model.eval().save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert repr(again) == repr(model)
    assert torch.equal(again(x), model(x))


@pytest.mark.parametrize("strategy", ["uniform", "distance", "spatial", "spatial_stgcn"])
@pytest.mark.parametrize("name", ["STGCN", "AGCN", "AAGCN", "CTRGCN", "STGCNPP"])
def test_every_partition(name: str, strategy: str) -> None:
    model = BACKBONES[name]("coco17", strategy=strategy)
    assert torch.equal(model.adjacency, model.skeleton.adjacency(strategy))
    assert_encoder(model, "coco17")
