"""Lower bounds in place of all distances, where there are many examples."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from pyg_fsar import FewShotClassifier

FROM = "pyg_fsar.classifier.classifier.MANY_EXAMPLES"


@pytest.fixture
def few_are_many(monkeypatch):
    monkeypatch.setattr(FROM, 3)


@pytest.mark.parametrize("unknown", [None, "other"])
@pytest.mark.parametrize("cost", ["euclidean", "cosine"])
def test_equals_all_distances(baseline, ragged, labels, monkeypatch, tmp_path, cost, unknown):
    model = baseline("dtw", cost=cost, shots="nearest", scale=3.0)
    queries = [*ragged, *(clip.with_bodies(clip.bodies.flip(1)) for clip in ragged)]
    plain = FewShotClassifier(model, unknown=unknown).fit(ragged, labels)
    monkeypatch.setattr(FROM, 3)
    pruned = FewShotClassifier(model, unknown=unknown, batch_size=4).fit(ragged, labels)
    pruned.save(tmp_path / "folder")
    loaded = FewShotClassifier.load(tmp_path / "folder", encoder=nn.Identity())
    parts = FewShotClassifier(model, unknown=unknown).fit(ragged[:4], labels[:4])
    parts.partial_fit(ragged[4:], labels[4:])
    for classifier in (pruned, loaded, parts):
        assert classifier._search is not None and plain._search is None
        assert classifier.predict(queries).tolist() == plain.predict(queries).tolist()
        for method in ("distances", "predict_proba"):
            found, expected = getattr(classifier, method)(queries), getattr(plain, method)(queries)
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        if unknown is not None:
            np.testing.assert_allclose(classifier.thresholds_, plain.thresholds_, rtol=1e-4)
    fewer = pruned.remove("wave").predict(queries)
    assert fewer.tolist() == plain.remove("wave").predict(queries).tolist()


def test_hooks_are_called(baseline, clips, labels, few_are_many):
    model = baseline("dtw", shots="nearest")
    seen = []
    model.matcher.register_forward_hook(lambda *arguments: seen.append(1))
    FewShotClassifier(model).fit(clips, labels).predict(clips)
    assert len(seen) >= 2


def test_a_matcher_that_is_changed_after_fit_is_called(baseline, clips, labels, few_are_many):
    model, seen = baseline("dtw", shots="nearest"), []
    classifier = FewShotClassifier(model).fit(clips, labels)
    assert classifier._search is not None
    with model.matcher.register_forward_hook(lambda *arguments: seen.append(1)):
        classifier.predict(clips)
        classifier.predict_proba(clips)
    assert len(seen) == 2
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
