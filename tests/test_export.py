"""Encoders and decisions as exported graphs, against themselves in Python."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import torch_geometric.nn as gnn
from torch import Tensor, nn

from pyg_fsar import FewShotClassifier, FewShotModel, load_pretrained
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.export import Decision, export_onnx, export_program
from pyg_fsar.matching import MATCHERS, build_matcher, matcher_options
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
# They compare clips of one length alone.
ONE_LENGTH = {"protonet", "cosine", "dastm"}


def some(names: object, quick: str) -> pytest.MarkDecorator:
    """All names, of which `make quick` takes one, as each export takes seconds."""
    marked = [pytest.param(n, marks=[] if n == quick else [pytest.mark.slow]) for n in names]
    return pytest.mark.parametrize("name", marked)


def run(path: Path, bodies: Tensor) -> Tensor:
    session = pytest.importorskip("onnxruntime").InferenceSession(path)
    return torch.from_numpy(session.run(None, {"bodies": bodies.numpy()})[0])


def clips(*lengths: int) -> list[SkeletonSequence]:
    return [
        SkeletonSequence.from_bodies(torch.randn(1 + n % 2, frames, 17, 3), skeleton="coco17")
        for n, frames in enumerate(lengths)
    ]


def fitted(name: str, lengths: tuple[int, ...] = (9, 9, 9, 9), **options: object) -> Decision:
    """A decision between two classes, from a fitted classifier."""
    if "channels" in matcher_options(name):
        options["channels"] = 8
    matcher = build_matcher(name, **options)
    classifier = FewShotClassifier(FewShotModel(STGCN("coco17", plan=[(8, 1)]), matcher))
    classifier.fit(clips(*lengths), ["a", "b", "a", "b"])
    return Decision(classifier.model, classifier.support_).eval()


def assert_same(path: Path, model: nn.Module, *shapes: tuple[int, ...]) -> None:
    for shape in shapes:
        x = torch.randn(*shape, 17, 3)
        torch.testing.assert_close(run(path, x), model(x).detach(), rtol=1e-5, atol=1e-5)


@some(ENCODERS, quick="agcn")
def test_encoders_are_the_same_in_onnx(name: str, tmp_path: Path) -> None:
    encoder = ENCODERS[name]()
    encoder(torch.randn(4, 8, 17, 3))  # for statistics other than those it began with
    export_onnx(encoder, tmp_path / "e.onnx", num_frames=10)
    assert encoder.training
    assert_same(tmp_path / "e.onnx", encoder.eval(), (2, 10), (1, 7), (3, 16))


@pytest.mark.slow
def test_encoder_of_the_package_takes_any_number_of_clips() -> None:
    encoder = load_pretrained()[0].encoder
    program = export_program(encoder).module()
    for size in (1, 20), (5, 17):
        x = torch.randn(*size, 15, 3)
        torch.testing.assert_close(program(x), encoder(x).detach())


# ONNX lacks the pseudo-inverse of Koopman matching, and the clips are 2D, of which there are no
# views.
@some([n for n in MATCHERS if n not in ("koopman", "views", "jeanie")], quick="bimhm")
def test_decisions_are_the_same_in_onnx(name: str, tmp_path: Path) -> None:
    decision = fitted(name)
    any_frames = name not in ONE_LENGTH
    export_onnx(decision, tmp_path / "d.onnx", num_frames=9, any_frames=any_frames)
    assert_same(tmp_path / "d.onnx", decision, (1, 2, 9), (4, 1, 9), (3, 3, 9))
    if any_frames:
        assert_same(tmp_path / "d.onnx", decision, (2, 1, 13), (1, 2, 4))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lengths", "options"),
    [
        ((9, 9, 9, 9), {"band": 3, "divergence": True}),
        ((9, 5, 12, 8), {"shots": "average"}),
        ((9, 5, 12, 8), {"shots": "nearest", "band": 2}),
        ((9, 5, 12, 8), {"shots": "barycentre"}),
    ],
)
def test_options_and_ragged_support_are_the_same_in_onnx(
    lengths: tuple[int, ...], options: dict[str, object], tmp_path: Path
) -> None:
    decision = fitted("soft_dtw", lengths, **options)
    export_onnx(decision, tmp_path / "d.onnx")
    assert_same(tmp_path / "d.onnx", decision, (2, 1, 9), (1, 2, 13), (3, 2, 4))


def test_a_program_has_operators_of_pytorch_alone() -> None:
    program = export_program(STGCN("ntu25", num_blocks=4), num_frames=8)  # where fast paths pay
    called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert called and not any("pyg_fsar" in name for name in called)


def test_a_decision_is_that_of_the_classifier() -> None:
    classifier = FewShotClassifier(
        FewShotModel(STGCN("coco17", plan=[(8, 2)]), build_matcher("soft_dtw"))
    ).fit(clips(9, 9, 9), ["x", "y", "x"])
    decision = Decision(classifier.model, classifier.support_).eval()
    queries = [torch.randn(2, 7, 17, 3) for _ in range(3)]
    with torch.no_grad():
        probabilities = decision(torch.stack(queries)).softmax(dim=-1)
    expected = torch.from_numpy(classifier.predict_proba(queries)).float()
    torch.testing.assert_close(probabilities, expected)


def test_a_decision_weighs_joints_by_all_shots() -> None:
    model = FewShotModel(STGCN("coco17", plan=[(8, 2)]), build_matcher("dtw", joint_shrinkage=0.2))
    support = model.eval().embed(clips(9, 9, 9, 9)).with_y(torch.tensor([0, 1, 0, 1]))
    query = SkeletonSequence.from_bodies(torch.randn(1, 9, 17, 3), skeleton="coco17")
    with torch.no_grad():
        logits = Decision(model, support)(query.bodies[None])
        torch.testing.assert_close(logits, model.match(support, model.embed(query)))


def test_koopman_needs_one_number_of_frames() -> None:
    with pytest.raises(ValueError, match="one number of frames; give any_frames=False"):
        export_program(fitted("koopman"), num_frames=9)


def test_refuses_what_it_cannot_export(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"cannot export Linear.*Decision\(model, support\)"):
        export_program(nn.Linear(3, 4))
    model = FewShotModel(STGCN("coco17", plan=[(8, 2)]), build_matcher("dtw"))
    support = model.embed(clips(9))
    with pytest.raises(ValueError, match=r"no classes.*with_y"):
        Decision(model, support)
    with pytest.raises(TypeError, match=r"got NoneType.*load_pretrained\(\)"):
        Decision(FewShotClassifier().model, support)
    with pytest.raises(TypeError, match="encoder Identity"):
        Decision(FewShotModel(nn.Identity(), build_matcher("dtw")), support)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "2.4.1+cpu")
        with pytest.raises(ImportError, match=r"needs PyTorch 2\.8"):
            export_program(model.encoder)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"pyg-fsar\[export\]"):
        export_onnx(model.encoder, tmp_path / "e.onnx")
