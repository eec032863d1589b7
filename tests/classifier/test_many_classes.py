"""Lower bounds in place of all distances, where there are many examples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pyg_fsar import FewShotClassifier, FewShotModel
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.matching import EuclideanCost, MotionMatcher, NearestSearch
from pyg_fsar.nn import MotionFeatures

FROM = "pyg_fsar.classifier.class_distances.MANY_EXAMPLES"


@pytest.fixture
def searches(monkeypatch):
    """Notes the searches that are made."""
    made, original = [], NearestSearch.__init__

    def noted(self, *arguments):
        made.append(self)
        original(self, *arguments)

    monkeypatch.setattr(NearestSearch, "__init__", noted)
    return made


@pytest.fixture
def few_are_many(monkeypatch):
    monkeypatch.setattr(FROM, 3)


@pytest.fixture
def motion():
    generator = torch.Generator().manual_seed(0)
    bodies = torch.randn(6, 1, 12, 15, 3, generator=generator).cumsum(dim=2)
    clips = [SkeletonSequence.from_bodies(body, skeleton="body15") for body in bodies]
    # With a large gap mirror images count for no class, also without a joint.
    return (
        FewShotModel(MotionFeatures(), MotionMatcher("body15", mirror_gap=9.0)),
        clips,
        [*"aabbcc"],
    )


@pytest.mark.parametrize("unknown", [None, "other"])
@pytest.mark.parametrize("cost", ["euclidean", "cosine"])
def test_equals_all_distances(
    baseline, ragged, labels, monkeypatch, tmp_path, cost, unknown, searches
):
    model = baseline("dtw", cost=cost, shots="nearest", scale=3.0)
    queries = [*ragged, *(clip.with_bodies(clip.bodies.flip(1)) for clip in ragged)]
    plain = FewShotClassifier(model, unknown=unknown).fit(ragged, labels)
    assert not searches
    monkeypatch.setattr(FROM, 3)
    pruned = FewShotClassifier(model, unknown=unknown, batch_size=4).fit(ragged, labels)
    pruned.save(tmp_path / "folder")
    loaded = FewShotClassifier.load(tmp_path / "folder", encoder=nn.Identity())
    parts = FewShotClassifier(model, unknown=unknown).fit(ragged[:4], labels[:4])
    parts.partial_fit(ragged[4:], labels[4:])
    assert len(searches) == 4  # one more after partial_fit
    for classifier in (pruned, loaded, parts):
        assert classifier.predict(queries).tolist() == plain.predict(queries).tolist()
        for method in ("distances", "predict_proba"):
            found, expected = getattr(classifier, method)(queries), getattr(plain, method)(queries)
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        if unknown is not None:
            np.testing.assert_allclose(classifier.thresholds_, plain.thresholds_, rtol=1e-4)
    fewer = pruned.remove("wave").predict(queries)
    assert fewer.tolist() == plain.remove("wave").predict(queries).tolist()


def test_explanations_are_those_of_all_distances(motion, monkeypatch, searches):
    model, clips, labels = motion
    plain = FewShotClassifier(model).fit(clips, labels)
    monkeypatch.setattr(FROM, 3)
    pruned = FewShotClassifier(model).fit(clips, labels)
    assert len(searches) == 1
    # Which classes are compared with mirror images is known already, and takes long to find.
    original, sizes = MotionMatcher.counts_mirrored, []

    def counted(self, references, n_way):
        sizes.append(len(references))
        return original(self, references, n_way)

    monkeypatch.setattr(MotionMatcher, "counts_mirrored", counted)
    found = [pruned.explain(clip.with_bodies(clip.bodies.flip(1))) for clip in clips]
    assert max(sizes) < len(clips)
    for clip, why in zip(clips, found, strict=True):
        expected = plain.explain(clip.with_bodies(clip.bodies.flip(1)))
        assert (why.label, why.support, why.mirrored) == (
            expected.label, expected.support, expected.mirrored,
        )  # fmt: skip
        np.testing.assert_allclose(why.probabilities, expected.probabilities, atol=1e-4)
        np.testing.assert_allclose(why.joint_evidence, expected.joint_evidence, atol=1e-3)


@pytest.mark.parametrize("part", ["encoder", "matcher", "matcher.cost"])
def test_hooks_are_called(baseline, clips, labels, few_are_many, searches, part):
    model = baseline("dtw", shots="nearest")
    seen = []
    model.get_submodule(part).register_forward_hook(lambda *arguments: seen.append(1))
    FewShotClassifier(model).fit(clips, labels).predict(clips)
    assert len(seen) >= 2 and len(searches) == (part == "encoder")


def test_what_a_hook_of_the_cost_makes_counts(baseline, clips, labels, few_are_many):
    # Lower bounds of the cost as it was would leave out what is nearest now.
    model = baseline("dtw", shots="nearest")
    classifier = FewShotClassifier(model).fit(clips, labels)
    with model.matcher.cost.register_forward_hook(lambda module, args, out: -out):
        nearest = classifier.distances(clips).argmin(axis=1)
        assert classifier.predict(clips).tolist() == classifier.classes_[nearest].tolist()
    assert classifier.predict(clips).tolist() != classifier.classes_[nearest].tolist()


def test_a_stream_calls_a_matcher_that_got_hooks_since(baseline, clips, labels):
    model, seen = baseline("dtw", shots="nearest"), []
    stream = FewShotClassifier(model).fit(clips, labels).stream()
    model.matcher.register_forward_hook(lambda *arguments: seen.append(1))
    for frame in clips[0].bodies.swapaxes(0, 1):
        stream.push(frame.numpy())
    stream.finish()
    assert seen


def test_a_matcher_that_is_changed_after_fit_is_called(
    baseline, clips, labels, few_are_many, searches
):
    model, seen = baseline("dtw", shots="nearest"), []
    classifier = FewShotClassifier(model).fit(clips, labels)
    assert len(searches) == 1
    with model.matcher.register_forward_hook(lambda *arguments: seen.append(1)):
        classifier.predict(clips)
        classifier.predict_proba(clips)
    assert len(seen) == 2
    model.matcher.cost = EuclideanCost()
    expected = FewShotClassifier(model).fit(clips, labels).distances(clips)
    np.testing.assert_allclose(classifier.distances(clips), expected)
    nearest = classifier.classes_[expected.argmin(axis=1)]
    assert classifier.predict(clips).tolist() == nearest.tolist()
    model.matcher = baseline("otam", shots="nearest").matcher
    expected = FewShotClassifier(model).fit(clips, labels).distances(clips)
    np.testing.assert_allclose(classifier.distances(clips), expected)


def test_matchers_without_bounds(new_model, clips, labels, queries, few_are_many):
    classifier = FewShotClassifier(new_model("otam", shots="nearest")).fit(clips, labels)
    best = classifier.distances(queries).argmin(axis=1)
    assert classifier.predict(queries).tolist() == classifier.classes_[best].tolist()


def test_refuses_the_same_clips(baseline, clips, labels, few_are_many):
    classifier = FewShotClassifier(baseline("dtw", shots="nearest")).fit(clips, labels)
    with pytest.raises(ValueError, match="there are no clips"):
        classifier.predict([])
    with pytest.raises(TypeError, match="give a list"):
        classifier.predict(clips[0])
