from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pyg_fsar.nn import PairNorm, SkeletonLSTM
from pyg_fsar.nn.models import skeleton_lstm
from pyg_fsar.testing import assert_encoder

OPTIONS = {"hidden_channels": 6, "dropout": 0.0}
both_ways = pytest.mark.parametrize("bidirectional", [False, True])


@both_ways
@pytest.mark.parametrize("skeleton", ["openpose18", "kinect20", "ntu25", "mediapipe33"])
def test_is_an_encoder_of_every_skeleton(skeleton: str, bidirectional: bool) -> None:
    model = SkeletonLSTM(skeleton, bidirectional=bidirectional, norm="pairnorm", **OPTIONS)
    assert_encoder(model, skeleton)
    V = model.skeleton.num_joints
    assert model(torch.randn(2, 1, V, 3)).shape == (2, 1, V, 12 if bidirectional else 6)


@both_ways
def test_equals_torchs_lstm_on_each_joint(bidirectional: bool) -> None:
    model = SkeletonLSTM("coco17", bidirectional=bidirectional, **OPTIONS).double().eval()
    lstm = nn.LSTM(6, 6, num_layers=2, bidirectional=bidirectional).double()
    lstm.load_state_dict(
        {
            name.replace("l0", f"l{number}"): value
            for number, layer in enumerate(model.layers)
            for name, value in layer.state_dict().items()
        }
    )
    x = torch.randn(2, 7, 17, 3, dtype=torch.double)
    out = model(x)
    normalised = model.input_norm(x.reshape(14, 51)).view_as(x)
    for body in range(2):
        for joint in range(17):
            frames = normalised[body]
            read = torch.stack(
                [
                    model.joint.weight @ frame[joint]
                    + model.frame.weight @ frame.flatten()
                    + model.which[joint]
                    for frame in frames
                ]
            )
            torch.testing.assert_close(out[body, :, joint], lstm(read)[0])


def test_no_frame_depends_on_later_ones_unless_bidirectional() -> None:
    def reached(bidirectional: bool) -> Tensor:
        model = SkeletonLSTM("coco17", bidirectional=bidirectional, **OPTIONS).eval()
        x = torch.randn(1, 9, 17, 3, requires_grad=True)
        (grad,) = torch.autograd.grad(model(x)[:, 4].square().sum(), x)
        return grad.abs().sum(dim=(0, 2, 3)) > 0

    assert reached(False).tolist() == [True] * 5 + [False] * 4
    assert reached(True).all()


def test_a_clip_that_goes_on_begins_the_same() -> None:
    model = SkeletonLSTM("coco17", norm="pairnorm", **OPTIONS).eval()
    x = torch.randn(2, 9, 17, 3)
    torch.testing.assert_close(model(x)[:, :5], model(x[:, :5]))


def test_every_joint_sees_the_whole_frame_and_knows_which_it_is() -> None:
    model = SkeletonLSTM("coco17", input_norm="channel", **OPTIONS).eval()
    x = torch.randn(1, 3, 17, 3, requires_grad=True)
    (grad,) = torch.autograd.grad(model(x)[0, -1, 5].square().sum(), x)
    assert (grad.abs().sum(dim=-1) > 0).all()
    alike = model(torch.ones(1, 3, 17, 3))
    assert not torch.allclose(alike[:, :, 5], alike[:, :, 6])


def test_parameters() -> None:
    count = sum(p.numel() for p in SkeletonLSTM("ntu25").parameters())
    layer = 4 * 128 * (2 * 128 + 2)
    assert count == 2 * 75 + 3 * 128 + 75 * 128 + 25 * 128 + 2 * layer
    wide = SkeletonLSTM("ntu25", bidirectional=True, num_layers=3)
    layers = 2 * layer + 2 * 2 * 4 * 128 * (3 * 128 + 2)
    assert sum(p.numel() for p in wide.layers.parameters()) == layers
    assert wide.out_channels == 256
    assert repr(wide).endswith("out_channels=256, num_layers=3, bidirectional=True)")


@both_ways
def test_every_parameter_learns(bidirectional: bool) -> None:
    model = SkeletonLSTM("coco17", bidirectional=bidirectional, **OPTIONS)
    model(torch.randn(2, 5, 17, 3)).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_norm_follows_every_layer() -> None:
    model = SkeletonLSTM("coco17", norm=PairNorm(scale=3.0), num_layers=3, **OPTIONS)
    assert len({id(norm) for norm in model.norms}) == 3
    out = model(torch.randn(2, 5, 17, 3))
    size = out.square().sum(-1).mean(-1).sqrt()
    torch.testing.assert_close(size, torch.full_like(size, 3.0), rtol=1e-2, atol=1e-2)


def test_dropout_is_for_training() -> None:
    model = SkeletonLSTM("coco17", hidden_channels=6, dropout=0.5)
    x = torch.randn(2, 5, 17, 3)
    assert (model(x) == 0).float().mean() > 0.3
    model.eval()
    torch.testing.assert_close(model(x), model(x))


def test_compiles_without_graph_breaks() -> None:
    torch.compiler.reset()
    model = SkeletonLSTM("coco17", bidirectional=True, num_layers=1, norm="pairnorm", **OPTIONS)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 2, 17, 3)
    grads = []
    for encoder in (compiled, model):
        model.zero_grad()
        out = encoder(x)
        out.square().mean().backward()
        grads.append([out, *(p.grad.clone() for p in model.parameters())])
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-5)


def test_follows_dtype() -> None:
    model = SkeletonLSTM("coco17", **OPTIONS)
    x = torch.randn(2, 5, 17, 3)
    assert model.double()(x.double()).dtype == torch.double


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_follows_autocast(
    dtype: torch.dtype, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not native:  # as on machines without AVX-512, where oneDNN has no such LSTM
        monkeypatch.setattr(skeleton_lstm, "onednn_takes_bf16", lambda: False)
    model = SkeletonLSTM("coco17", **OPTIONS).eval()
    x = torch.randn(2, 5, 17, 3)
    with torch.autocast("cpu", dtype=dtype):
        out = model(x)
    assert out.dtype == dtype
    out.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    exact = model(x)
    assert (out - exact).norm() < 0.05 * exact.norm()


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"no bones to drop.*drop_edge=0\.2.*leave it at 0"):
        SkeletonLSTM("coco17", drop_edge=0.2)
    with pytest.raises(ValueError, match="num_layers must be at least 1"):
        SkeletonLSTM("coco17", num_layers=0)
    with pytest.raises(ValueError, match="unknown norm"):
        SkeletonLSTM("coco17", norm="layer")
    with pytest.raises(ValueError, match=r"25 joints.*'coco17'"):
        SkeletonLSTM("coco17", **OPTIONS)(torch.randn(2, 5, 25, 3))
