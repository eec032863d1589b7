from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from pyg_fsar import Explanation, FewShotClassifier
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.matching import MATCHERS, SHOTS
from pyg_fsar.visualization import plot_alignment

HAND = 9
# Two align nothing; two compare views, of which the 2D clips of these tests have none.
UNLIKE = ("koopman", "mixture", "views", "jeanie")


def gesture(height, length=8, noise=0.0):
    """A body at rest, apart from one hand."""
    bodies = torch.linspace(1, 2, 17 * 3).view(17, 3).repeat(1, length, 1, 1)
    bodies[0, :, HAND, 1] += height * torch.linspace(0, 1, length)
    return SkeletonSequence.from_bodies(
        bodies + noise * torch.randn_like(bodies), skeleton="coco17"
    )


@pytest.mark.parametrize("matcher", [name for name in MATCHERS if name not in UNLIKE])
@pytest.mark.parametrize("shots", sorted(SHOTS))
def test_fields(new_model, clips, labels, queries, matcher, shots):
    classifier = FewShotClassifier(new_model(matcher, shots=shots)).fit(clips, labels)
    why = classifier.explain(queries[0])
    assert why.prediction == why.label == classifier.predict(queries[:1])[0]
    np.testing.assert_allclose(
        why.probabilities, classifier.predict_proba(queries[:1])[0], rtol=1e-6
    )
    assert labels[why.support] == why.label
    assert why.alignment.cost.shape == why.alignment.weights.shape == (4, 4)
    assert why.alignment.distance.shape == ()
    assert why.joint_evidence.shape == (17,) and np.isfinite(why.joint_evidence).all()
    with pytest.raises(dataclasses.FrozenInstanceError):
        why.label = "other"


def test_the_joint_that_differs_decides(baseline):
    support = [gesture(0.0), gesture(1.0), gesture(1.0)]
    classifier = FewShotClassifier(baseline("dtw", cost="euclidean"))
    classifier.fit(support, ["rest", "raise", "raise"])
    why = classifier.explain(gesture(0.9))
    assert (why.prediction, why.label) == ("raise", "raise")
    others = np.delete(why.joint_evidence, HAND)
    assert why.joint_evidence[HAND] > 0.05
    np.testing.assert_allclose(others, 0, atol=1e-3)  # what rounding leaves
    # Of two classes, what speaks for one speaks against the other.
    why_not = classifier.explain(gesture(0.9), label="rest")
    assert (why_not.prediction, why_not.label, why_not.support) == ("raise", "rest", 0)
    np.testing.assert_allclose(why_not.joint_evidence, -why.joint_evidence, atol=1e-9)
    np.testing.assert_array_equal(why_not.probabilities, why.probabilities)


@pytest.mark.parametrize("cost", ["cosine", "euclidean"])
def test_evidence_is_that_of_clips_without_the_joint(baseline, cost, clips, labels, queries):
    """A joint that is zero in all clips is none, for costs of products and distances."""
    classifier = FewShotClassifier(baseline("dtw", cost=cost)).fit(clips, labels)
    why = classifier.explain(queries[1])
    number = classifier.classes_.tolist().index(why.label)

    def log_odds(keep):
        def cut(clip):
            return SkeletonSequence.from_bodies(clip.bodies[:, :, keep], skeleton=skeleton)

        skeleton = classifier.skeleton_.subset(keep)
        fewer = FewShotClassifier(classifier.model).fit([cut(clip) for clip in clips], labels)
        p = fewer.predict_proba([cut(queries[1])])[0, number]
        return np.log(p) - np.log1p(-p)

    whole = list(range(17))
    expected = [log_odds(whole) - log_odds(whole[:v] + whole[v + 1 :]) for v in range(17)]
    np.testing.assert_allclose(why.joint_evidence, expected, atol=1e-4)


def test_evidence_is_of_the_probabilities_that_the_temperature_gives(
    baseline, clips, labels, queries
):
    """With three classes it is not that without a temperature, divided by it."""
    scaled, cooled = baseline("dtw", scale=4.0), baseline("dtw")
    cooled.temperature = 0.25
    first, second = (
        FewShotClassifier(model).fit(clips, labels).explain(queries[0])
        for model in (scaled, cooled)
    )
    np.testing.assert_allclose(second.probabilities, first.probabilities, rtol=1e-4)
    np.testing.assert_allclose(second.joint_evidence, first.joint_evidence, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shots", ["mean", "average"])
def test_alignment_is_with_what_the_matcher_compares(baseline, clips, labels, shots):
    model = baseline("dtw", shots=shots)
    classifier = FewShotClassifier(model).fit(clips, labels)
    query = clips[3]
    why = classifier.explain(query, label="wave")
    means = torch.stack([clip.bodies.mean(0) for clip in clips])
    waves = [0, 2, 5]
    distances = [float(model.matcher.align(means[3], means[i]).distance) for i in waves]
    assert why.support == waves[int(np.argmin(distances))]
    met = means[waves].mean(0) if shots == "mean" else means[why.support]
    expected = model.matcher.align(means[3], met)
    for value, other in zip(why.alignment, expected, strict=True):
        torch.testing.assert_close(value, other)


def test_ragged_clips(new_model, ragged, labels):
    classifier = FewShotClassifier(new_model(shots="average")).fit(ragged, labels)
    for clip, own in zip(ragged, labels, strict=True):
        why = classifier.explain(clip, label=own)
        expected = [-(-c.num_frames // 2) for c in (clip, ragged[why.support])]
        assert list(why.alignment.cost.shape) == expected
        assert ragged[why.support] is clip  # nothing is nearer than itself
        assert abs(float(why.alignment.distance)) < 1e-5


def test_can_be_drawn(fitted, clips, queries):
    pytest.importorskip("matplotlib")
    why = fitted.explain(queries[0])
    assert isinstance(why, Explanation)
    figure = plot_alignment(
        why.alignment.cost, why.alignment.weights, queries[0], clips[why.support]
    )
    assert figure.axes


def test_takes_arrays(fitted, queries):
    why = fitted.explain(queries[1].bodies.numpy())
    np.testing.assert_array_equal(why.probabilities, fitted.explain(queries[1]).probabilities)


@pytest.mark.parametrize("unknown", [None, "other"])
def test_one_class(baseline, unknown):
    """There is no runner-up: a joint speaks for the class if the clip is farther without it."""
    torch.manual_seed(0)
    model = baseline("dtw", cost="euclidean", shots="nearest")
    classifier = FewShotClassifier(model, unknown=unknown)
    clips = [gesture(1.0, noise=0.01) for _ in range(3)]
    classifier.fit(clips, ["raise"] * 3)
    near, far = classifier.explain(clips[1]), classifier.explain(gesture(4.0))
    assert (near.prediction, near.label, near.support) == ("raise", "raise", 1)
    assert near.probabilities.tolist() == far.probabilities.tolist() == [1]
    assert (far.prediction, far.label) == (unknown or "raise", "raise")
    assert np.isfinite(near.joint_evidence).all()
    # Without the hand, which alone is elsewhere, the clip would be the nearest.
    assert far.joint_evidence.argmin() == HAND and far.joint_evidence[HAND] < -0.1
    distance = classifier.distances([gesture(4.0)])[0, 0]
    without = [c.with_bodies(c.bodies.clone()) for c in [gesture(4.0), *clips]]
    for clip in without:
        clip.x[:, HAND] = 0
    cut = FewShotClassifier(model).fit(without[1:], ["raise"] * 3).distances(without[:1])[0, 0]
    assert far.joint_evidence[HAND] == pytest.approx((cut - distance) * model.matcher.scale)


def test_refuses_labels_it_cannot_explain(fitted, clips, queries):
    with pytest.raises(ValueError, match=r"unknown label 'jump'; known are .*'bow'"):
        fitted.explain(queries[0], label="jump")
    fitted.fit(clips[:2], ["x" * 300, "y" * 300])
    with pytest.raises(ValueError, match="unknown label") as error:
        fitted.explain(queries[0], label="z" * 300)
    assert len(str(error.value)) < 500
