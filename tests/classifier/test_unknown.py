from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pyg_fsar import FewShotClassifier, FewShotModel, load_pretrained
from pyg_fsar.classifier.unknown import class_thresholds, perturbed
from pyg_fsar.data import EmbeddedClips, SkeletonSequence
from pyg_fsar.datasets import FakeSkeletonDataset
from pyg_fsar.matching import build_matcher

UNKNOWN = "none of these"


@pytest.fixture(scope="module")
def motions():
    """Clips ``[classes][clips]`` of generated motions, prepared once for all tests."""
    _, transform = load_pretrained()
    data = FakeSkeletonDataset(
        "body15", num_classes=16, clips_per_class=6, split="all", transform=transform
    )
    clips = [data[number] for number in range(len(data))]
    return [clips[6 * number : 6 * number + 6] for number in range(16)]


def examples(motions, classes, shots):
    clips = [clip for number in classes for clip in motions[number][:shots]]
    return clips, [f"class {number}" for number in classes for _ in range(shots)]


def fit(motions, classes=range(5), shots=4, **options):
    classifier = FewShotClassifier(load_pretrained()[0], unknown=UNKNOWN, **options)
    return classifier.fit(*examples(motions, classes, shots))


@pytest.mark.parametrize("shots", [1, 4])
def test_clips_of_other_classes_get_the_unknown_label(motions, shots):
    classifier = fit(motions, shots=shots, false_alarms=0.2)
    known = [clip for number in range(5) for clip in motions[number][4:]]
    strange = [clip for number in range(5, 16) for clip in motions[number][4:]]
    found = classifier.predict(strange)
    assert (found == UNKNOWN).mean() > 0.7
    assert classifier.predict(known).dtype.kind == found.dtype.kind == "U"
    hits = classifier.predict(known) == np.repeat([f"class {n}" for n in range(5)], 2)
    assert hits.mean() > max(0.3, 2 * (found != UNKNOWN).mean())
    assert classifier.score(strange, [UNKNOWN] * len(strange)) == (found == UNKNOWN).mean()
    assert classifier.classes_.tolist() == [f"class {number}" for number in range(5)]


def test_a_label_is_that_of_the_nearest_class_within_its_threshold(motions):
    classifier = fit(motions)
    clips = [clip for group in motions for clip in group[:2]]
    distances, thresholds = classifier.distances(clips), classifier.thresholds_
    assert thresholds.shape == (5,) and (thresholds > 0).all()
    for label, row in zip(classifier.predict(clips), distances, strict=True):
        near = [n for n in range(5) if row[n] <= thresholds[n]]
        nearest = min(near, key=lambda n: row[n], default=None)
        assert label == (UNKNOWN if nearest is None else classifier.classes_[nearest])
    np.testing.assert_array_equal(classifier.decision_function(clips), -distances)
    probabilities = classifier.predict_proba(clips)
    assert probabilities.shape == (len(clips), 5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_fewer_false_alarms_by_lower_thresholds(motions):
    strict, loose = fit(motions, false_alarms=0.01), fit(motions, false_alarms=0.3)
    assert (strict.thresholds_ < loose.thresholds_).all()


def test_examples_alone_decide_and_not_their_order(motions):
    clips, labels = examples(motions, range(4), 3)
    classifier = FewShotClassifier(load_pretrained()[0], unknown=UNKNOWN).fit(clips, labels)
    expected = classifier.thresholds_
    torch.manual_seed(7)
    classifier.fit(clips[::-1], labels[::-1])
    np.testing.assert_allclose(classifier.thresholds_, expected, rtol=1e-4)


@pytest.mark.parametrize("shots", [1, 3])
def test_one_class_alone(motions, shots):
    """From the distances of its examples, or of copies of the only one."""
    classifier = fit(motions, classes=[0], shots=shots)
    assert classifier.predict(motions[0][:1]).tolist() == ["class 0"]
    strange = [clip for group in motions[1:] for clip in group]
    assert (classifier.predict(strange) == UNKNOWN).mean() > 0.9
    explained = fit(motions, classes=[0, 1], shots=shots).explain(motions[9][0])
    assert explained.prediction == UNKNOWN and explained.label in ("class 0", "class 1")


def test_an_example_gets_its_label_also_among_equal_ones(motions):
    """Thresholds stay above the distances of copies, where other classes are as near as it gets."""
    clip = motions[0][0]
    classifier = FewShotClassifier(load_pretrained()[0], unknown=UNKNOWN).fit(
        [clip, clip], ["a", "b"]
    )
    assert (classifier.thresholds_ > 0).all()
    assert classifier.predict([clip]).tolist() == ["a"]


def test_without_it_every_clip_gets_a_class(motions):
    clips, labels = examples(motions, range(3), 2)
    classifier = FewShotClassifier(load_pretrained()[0]).fit(clips, labels)
    assert not hasattr(classifier, "thresholds_")
    assert UNKNOWN not in classifier.predict(motions[9])
    best = classifier.predict_proba(motions[9]).argmax(axis=1)
    assert classifier.predict(motions[9]).tolist() == classifier.classes_[best].tolist()


@pytest.mark.parametrize("matcher", ["dtw", "soft_dtw", "protonet", "otam", "ngm"])
def test_any_matcher(new_model, clips, queries, labels, matcher):
    """Distances may be negative, as those of soft-DTW are."""
    classifier = FewShotClassifier(new_model(matcher), unknown="other").fit(clips, labels)
    assert np.isfinite(classifier.thresholds_).all()
    assert set(classifier.predict(queries)) <= {*labels, "other"}


def test_infinite_distances(clips, labels):
    class Never(nn.Module):
        def forward(self, support, support_y, query, n_way=2):
            return torch.full((len(query), n_way), -torch.inf)

    model = FewShotModel(nn.Identity(), Never())
    classifier = FewShotClassifier(model, unknown="other").fit(clips, labels)
    assert classifier.predict(clips).tolist() == ["other"] * 6


def test_ragged_clips_and_several_bodies(new_model, ragged, labels):
    model = new_model("dtw", shots="nearest")
    classifier = FewShotClassifier(model, unknown="other").fit(ragged, labels)
    # A class's own example may be farther than its threshold, but is never taken for another.
    for label, found in zip(labels, classifier.predict(ragged), strict=True):
        assert found in (label, "other")


@pytest.mark.parametrize(
    ("labels", "unknown", "kind", "shown"),
    [
        (["a", "b"], "something else", "U", ["a", "b", "something else"]),
        ([3, 5], -1, "i", [3, 5, -1]),
        (np.array([3, 5], dtype=np.int8), 1000, "i", [3, 5, 1000]),
        ([0.5, 1.5], -1, "f", [0.5, 1.5, -1.0]),
        ([3, 5], "other", "O", [3, 5, "other"]),
        (["a", "b"], -1, "O", ["a", "b", -1]),
        ([False, True], "other", "O", [False, True, "other"]),
        ([True, False], np.int64(7), "O", [True, False, 7]),
    ],
)
def test_labels_of_any_kind(baseline, labels, unknown, kind, shown, tmp_path):
    still, moving = (
        SkeletonSequence.from_bodies(
            size * torch.randn(1, 6, 17, 3, generator=torch.Generator().manual_seed(seed)),
            skeleton="coco17",
        )
        for seed, size in enumerate((1, 2))
    )
    far = still.with_bodies(100 + still.bodies)
    model = baseline("dtw", cost="euclidean")
    classifier = FewShotClassifier(model, unknown=unknown).fit([still, moving], labels)
    found = classifier.predict([still, moving, far])
    assert found.dtype.kind == kind and found.tolist() == shown
    assert classifier.score([still, moving, far], shown) == 1
    classifier.save(tmp_path / "folder")
    again = FewShotClassifier.load(tmp_path / "folder", encoder=nn.Identity())
    np.testing.assert_array_equal(again.thresholds_, classifier.thresholds_)
    assert again.predict([still, moving, far]).tolist() == shown
    assert again.get_params()["unknown"] == unknown
    assert again.partial_fit([far], labels[:1]).thresholds_.shape == (2,)


def test_refuses(new_model, fitted, clips, labels):
    with pytest.raises(ValueError, match="'kick' is the label of unknown clips"):
        FewShotClassifier(new_model(), unknown="kick").fit(clips, labels)
    with pytest.raises(TypeError, match="a text or a number, got list"):
        FewShotClassifier(new_model(), unknown=["other"])
    with pytest.raises(ValueError, match="NaN, which equals no label"):
        FewShotClassifier(new_model(), unknown=float("nan"))
    for fraction in (0, 1, -0.1, float("nan")):
        with pytest.raises(ValueError, match="false_alarms must be between 0 and 1"):
            FewShotClassifier(new_model(), unknown="other", false_alarms=fraction)
    with pytest.raises(ValueError, match="no effect without a label for unknown clips"):
        FewShotClassifier(new_model(), false_alarms=0.1)


def test_refuses_distances_that_only_rank_classes(new_model, clips, labels):
    ranking = new_model("mixture")
    with pytest.raises(ValueError, match=r"unknown= needs distances .* MixtureMatcher only rank"):
        FewShotClassifier(ranking, unknown="other").fit(clips, labels)
    with pytest.raises(ValueError, match=r"finding actions needs distances .* MixtureMatcher"):
        FewShotClassifier(ranking).fit(clips, labels).stream()


@pytest.mark.parametrize("skeleton", ["coco17", "openpose18"])
@pytest.mark.parametrize("frames", [1, 2, 9])
def test_perturbed_copies(skeleton, frames):
    """They are near, as many frames long, the same each time, and leave the random state alone."""
    joints, channels = {"coco17": (17, 3), "openpose18": (18, 3)}[skeleton]
    generator = torch.Generator().manual_seed(0)
    bodies = torch.randn(2, frames, joints, channels, generator=generator)
    clip = SkeletonSequence.from_bodies(bodies, skeleton=skeleton)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    copies = list(perturbed(clip))
    assert torch.equal(torch.rand(1), expected)
    assert len(copies) > 1
    for copy, again in zip(copies, perturbed(clip), strict=True):
        assert copy.bodies.shape == bodies.shape
        assert torch.equal(copy.bodies, again.bodies)
        assert not torch.equal(copy.bodies, bodies)
    assert torch.equal(clip.bodies, bodies)


def test_thresholds_follow_the_unit_of_distances():
    """They grow with the distances, whatever those are measured in."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(6).repeat_interleave(3)
    x = 3 * torch.randn(6, 1, 1, 8, generator=generator)[y]
    support = EmbeddedClips(x + torch.randn(x.shape, generator=generator), y=y)
    matcher = build_matcher("dtw", cost="euclidean", shots="nearest")

    def thresholds(factor):
        def compare(support, query, n_way):
            with torch.no_grad():
                return factor * matcher.distances(support.x, support.y, query.x, n_way=n_way)

        return class_thresholds(compare, support, 6, np.full(18, np.nan), 0.05)

    one = thresholds(1.0)
    assert (one > 0).all()
    np.testing.assert_allclose(thresholds(1e-3), 1e-3 * one, rtol=1e-4)
