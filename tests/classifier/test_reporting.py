"""``FewShotClassifier.report``; what the page shows is tested in tests/visualization."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from torch_geometric.transforms import Compose

from pyg_fsar import FewShotClassifier, FewShotModel
from pyg_fsar.classifier.reporting import pose_transform
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.matching import MATCHERS, MotionMatcher
from pyg_fsar.transforms import CenterOnJoint, JointsToBones, RemoveMeanPose, ResampleFrames


def data_of(path):
    """What the script of a page reads."""
    text = re.findall(r'<script type="application/json".*?>(.*?)</script>', path.read_text())[0]
    return json.loads(text)


# The others have no alignment, or compare views that the encoder here does not make.
UNLIKE = ("koopman", "mixture", "views", "jeanie")


@pytest.mark.parametrize("matcher", [name for name in MATCHERS if name not in UNLIKE])
def test_every_matcher_that_aligns(new_model, clips, labels, queries, matcher, tmp_path):
    classifier = FewShotClassifier(new_model(matcher)).fit(clips, labels)
    path = tmp_path / "new" / "why.html"
    why = classifier.report(queries[0], path)
    again = classifier.explain(queries[0])
    assert (why.label, why.support) == (again.label, again.support)
    data = data_of(path)
    assert data["label"] == data["prediction"] == why.label
    np.testing.assert_allclose(data["evidence"], why.joint_evidence, rtol=1e-3, atol=1e-9)
    assert [clip["frames"] for clip in data["clips"]] == [8, 8]
    assert [clip["bodies"] for clip in data["clips"]] == [1, clips[why.support].num_bodies]
    assert (data["matrix"]["rows"], data["matrix"]["columns"]) == (4, 4)
    distances = dict(zip(classifier.classes_, classifier.distances(queries[:1])[0], strict=True))
    assert {row["label"]: row["distance"] for row in data["classes"]} == pytest.approx(
        distances, rel=1e-3
    )
    assert [row["threshold"] for row in data["classes"]] == [None] * 3


def test_matcher_that_does_not_align(new_model, clips, labels, tmp_path):
    classifier = FewShotClassifier(new_model("koopman")).fit(clips, labels)
    with pytest.raises(TypeError, match="cannot be explained"):
        classifier.report(clips[0], tmp_path / "why.html")
    assert not list(tmp_path.iterdir())


def test_another_label_and_names(fitted, clips, queries, tmp_path):
    for number, clip in enumerate(clips):
        clip.name = f"clips/{number}"
    best = fitted.predict(queries[:1])[0]
    other = next(label for label in fitted.classes_.tolist() if label != best)
    why = fitted.report(queries[0].bodies.numpy(), tmp_path / "why.html", label=other)
    data = data_of(tmp_path / "why.html")
    assert (data["label"], data["prediction"]) == (other, best)
    assert [clip["name"] for clip in data["clips"]] == ["query", f"clips/{why.support}"]
    assert f"<title>Why not {other}?</title>" in (tmp_path / "why.html").read_text()


def test_ragged_clips(new_model, ragged, labels, tmp_path):
    classifier = FewShotClassifier(new_model(shots="average")).fit(ragged, labels)
    why = classifier.report(ragged[5], tmp_path / "why.html", label="wave")
    data = data_of(tmp_path / "why.html")
    assert [clip["frames"] for clip in data["clips"]] == [16, 16]
    assert why.support == 5


def test_examples_are_needed_after_loading(fitted, clips, queries, tmp_path):
    why = fitted.report(queries[0], tmp_path / "before.html")
    fitted.save(tmp_path / "saved")
    loaded = FewShotClassifier.load(tmp_path / "saved")
    path = tmp_path / "after.html"
    with pytest.raises(ValueError, match=r"has no clips .*; give those .* examples=clips"):
        loaded.report(queries[0], path)
    with pytest.raises(ValueError, match=r"there are 6 examples, 0 to 5, got 6"):
        loaded.example(6, clips)
    assert loaded.example(why.support, clips) is fitted.example(why.support) is clips[why.support]
    for others in (clips[:-1], clips[::-1], queries):
        with pytest.raises(ValueError, match="not those that the classifier was fitted with"):
            loaded.report(queries[0], path, label=why.label, examples=others)
    with pytest.raises(TypeError, match="single SkeletonSequence"):
        loaded.report(queries[0], path, examples=clips[0])
    assert not path.exists()
    loaded.report(queries[0], path, examples=clips)
    assert path.read_text() == (tmp_path / "before.html").read_text()


def test_examples_that_were_changed_are_refused(baseline, labels, tmp_path):
    arrays = np.random.default_rng(0).normal(size=(6, 8, 17, 3)).astype(np.float32)
    classifier = FewShotClassifier(baseline(), skeleton="coco17").fit(arrays, labels)
    classifier.report(arrays[0], tmp_path / "why.html")
    arrays += 1
    with pytest.raises(ValueError, match="not those that the classifier was fitted with"):
        classifier.report(arrays[0], tmp_path / "why.html")


def test_it_draws_poses_and_not_features(baseline, clips, labels, tmp_path):
    pages = []
    for steps in ([], [RemoveMeanPose()]):
        prepare = Compose([ResampleFrames(6, "uniform"), Compose(steps)])
        classifier = FewShotClassifier(baseline(), transform=prepare).fit(clips, labels)
        classifier.report(clips[0], tmp_path / "why.html", label=labels[0])
        pages.append(data_of(tmp_path / "why.html"))
    assert pages[0]["clips"][0] == pages[1]["clips"][0]
    assert pages[0]["clips"][0]["frames"] == 6
    assert "RemoveMeanPose" in str(pages[1]["settings"])


def test_pose_transform():
    assert pose_transform(None) is None
    assert pose_transform(JointsToBones()) is None
    own = CenterOnJoint()
    assert pose_transform(own) is own
    kept = pose_transform(Compose([own, Compose([RemoveMeanPose(), own])]))
    assert repr(kept) == repr(Compose([own, Compose([own])]))


@pytest.mark.parametrize(("shots", "pooled"), [("mean", True), ("nearest", False)])
def test_it_says_when_examples_are_compared_as_one(
    baseline, clips, labels, shots, pooled, tmp_path
):
    classifier = FewShotClassifier(baseline(shots=shots)).fit(clips, labels)
    why = classifier.report(clips[0], tmp_path / "why.html", label="wave")
    assert why.pooled == pooled
    assert [("all examples" in note) for note in data_of(tmp_path / "why.html")["notes"]] == (
        [True] if pooled else []
    )
    assert not classifier.explain(clips[0], label="kick").pooled  # one example


@pytest.mark.parametrize("unknown", [None, "other"])
def test_it_says_that_there_is_one_class(baseline, clips, queries, unknown, tmp_path):
    classifier = FewShotClassifier(baseline(), unknown=unknown).fit(clips, ["wave"] * 6)
    classifier.report(queries[0], tmp_path / "why.html")
    data = data_of(tmp_path / "why.html")
    assert (data["label"], data["prediction"]) == ("wave", unknown or "wave")
    assert "no other class, so evidence is of the distance" in data["notes"][-1 if unknown else -2]
    assert any("Every clip gets this label" in note for note in data["notes"]) == (not unknown)
    assert (data["classes"][0]["threshold"] is None) == (not unknown)


def test_it_says_when_the_mirror_image_is_aligned(tmp_path):
    def clip(seed):
        bodies = torch.randn(1, 8, 15, 3, generator=torch.Generator().manual_seed(seed))
        return SkeletonSequence.from_bodies(bodies, skeleton="body15")

    clips = [clip(0), clip(1)]
    model = FewShotModel(torch.nn.Identity(), MotionMatcher("body15", mirror_gap=0.0))
    classifier = FewShotClassifier(model).fit(clips, ["one", "two"])
    why = classifier.report(clips[0], tmp_path / "why.html")
    assert not why.mirrored and not data_of(tmp_path / "why.html")["notes"]
    image = clips[0].with_bodies(model.matcher.mirrored(clips[0].bodies))
    why = classifier.report(image, tmp_path / "why.html")
    assert why.label == "one" and why.mirrored
    (note,) = data_of(tmp_path / "why.html")["notes"]
    assert "mirror image" in note
