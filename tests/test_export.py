"""Encoders and decisions as exported graphs, against themselves in Python."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import torch_geometric.nn as gnn
from torch import Tensor, nn

from pyg_fsar import FewShotModel
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.export import Decision, export_onnx, export_program
from pyg_fsar.matching import build_matcher
from pyg_fsar.nn import BACKBONES, STGCN, FrameEncoder, MultiStream

OPTIONS: dict[str, dict[str, object]] = {
    "lstm": {"hidden_channels": 6, "bidirectional": True},
    "msg3d": {"plan": [(6, 2)], "num_scales": 3, "num_window_scales": 2},
}
ENCODERS: dict[str, Callable[[], nn.Module]] = {
    name: partial(make, "coco17", **OPTIONS.get(name, {"plan": [(8, 2)]}))
    for name, make in BACKBONES.items()
}
ENCODERS["multi_stream"] = lambda: MultiStream(
    partial(STGCN, "coco17", plan=[(4, 1)]), ("bone", "joint_motion")
)
ENCODERS["frame_encoder"] = lambda: FrameEncoder(
    gnn.GCN(3, 6, num_layers=1), "coco17", num_temporal=1, norm="pairnorm"
)


def run(path: Path, bodies: Tensor) -> Tensor:
    session = pytest.importorskip("onnxruntime").InferenceSession(path)
    return torch.from_numpy(session.run(None, {"bodies": bodies.numpy()})[0])


def decision(name: str, **options: object) -> Decision:
    model = FewShotModel(STGCN("coco17", plan=[(8, 2)]), build_matcher(name, **options))
    clips = [
        SkeletonSequence.from_bodies(torch.randn(1 + number % 2, 9, 17, 3), skeleton="coco17")
        for number in range(4)
    ]
    model.eval()
    with torch.no_grad():
        return Decision(model, model.embed(clips).with_y(torch.tensor([0, 1, 0, 1]))).eval()


@pytest.mark.parametrize("name", list(ENCODERS))
def test_encoders_are_the_same_in_onnx(name: str, tmp_path: Path) -> None:
    encoder = ENCODERS[name]()
    encoder(torch.randn(4, 8, 17, 3))  # for statistics other than those it began with
    export_onnx(encoder, tmp_path / "encoder.onnx", num_frames=10)
    assert encoder.training
    encoder.eval()
    for bodies, frames in ((2, 10), (1, 7), (3, 16)):
        x = torch.randn(bodies, frames, 17, 3)
        torch.testing.assert_close(
            run(tmp_path / "encoder.onnx", x), encoder(x).detach(), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize(
    ("name", "options", "lengths"),
    [
        ("soft_dtw", {"band": 3, "divergence": True}, (9, 12)),
        ("dtw", {"shots": "average"}, (9, 6)),
        ("otam", {}, (9, 12)),
        ("dastm", {"channels": 8}, (9,)),
    ],
)
def test_decisions_are_the_same_in_onnx(
    name: str, options: dict[str, object], lengths: tuple[int, ...], tmp_path: Path
) -> None:
    model = decision(name, **options)
    export_onnx(model, tmp_path / "d.onnx", num_frames=9, any_frames=len(lengths) > 1)
    for frames in lengths:
        for bodies in (1, 2):
            x = torch.randn(bodies, frames, 17, 3)
            logits = model(x).detach()
            torch.testing.assert_close(run(tmp_path / "d.onnx", x), logits, rtol=1e-5, atol=1e-5)


def test_a_program_has_operators_of_pytorch_alone() -> None:
    program = export_program(STGCN("ntu25", num_blocks=4), num_frames=8)  # where fast paths pay
    called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert called and not any("pyg_fsar" in name for name in called)


def test_a_decision_is_that_of_the_model() -> None:
    model = decision("soft_dtw")
    clip = SkeletonSequence.from_bodies(torch.randn(2, 9, 17, 3), skeleton="coco17")
    support = model.model.embed([clip, clip]).with_y(torch.tensor([0, 1]))
    with torch.no_grad():
        expected = model.model.match(support, model.model.embed(clip))[0]
        torch.testing.assert_close(Decision(model.model, support)(clip.bodies), expected)


def test_refuses_what_it_cannot_export() -> None:
    with pytest.raises(TypeError, match=r"cannot export Linear.*Decision\(model, support\)"):
        export_program(nn.Linear(3, 4))
    model = decision("dtw").model
    clip = SkeletonSequence.from_bodies(torch.randn(1, 9, 17, 3), skeleton="coco17")
    with pytest.raises(ValueError, match="no classes"):
        Decision(model, model.embed(clip))
