"""``partial_fit`` and ``remove``."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pyg_fsar import FewShotClassifier
from pyg_fsar.data import SkeletonSequence

OPTIONS = {"plain": {}, "with unknown": {"unknown": "other"}}


def assert_equal(one, other, queries):
    assert one.classes_.dtype == other.classes_.dtype
    assert one.classes_.tolist() == other.classes_.tolist()
    np.testing.assert_allclose(one.distances(queries), other.distances(queries), rtol=1e-4)
    assert one.predict(queries).tolist() == other.predict(queries).tolist()
    if one.unknown is not None:
        np.testing.assert_allclose(one.thresholds_, other.thresholds_, rtol=1e-4)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("lengths", ["clips", "ragged"])
def test_parts_equal_the_whole(new_model, labels, queries, options, lengths, request, tmp_path):
    clips = request.getfixturevalue(lengths)
    options = OPTIONS[options]
    model = new_model("dtw", shots="average").eval()
    whole = FewShotClassifier(model, **options).fit(clips, labels)
    parts = FewShotClassifier(model, **options)
    assert parts.partial_fit(clips[:2], labels[:2]) is parts
    parts.partial_fit(clips[2:3], labels[2:3])
    parts.save(tmp_path / "folder")  # on the way
    parts = FewShotClassifier.load(tmp_path / "folder")
    assert_equal(parts.partial_fit(clips[3:], labels[3:]), whole, queries)
    for label in ("bow", "kick"):
        rest = [number for number, own in enumerate(labels) if own != label]
        fresh = FewShotClassifier(model, **options)
        fresh.fit([clips[number] for number in rest], [labels[number] for number in rest])
        fewer = FewShotClassifier(model, **options).fit(clips, labels)
        assert fewer.remove(label) is fewer
        assert_equal(fewer, fresh, queries)
        fewer.partial_fit(
            [clip for clip, own in zip(clips, labels, strict=True) if own == label],
            [own for own in labels if own == label],
        )
        assert_equal(fewer, whole, queries)


def test_nothing_is_embedded_again(new_model, clips, labels):
    seen = []
    model = new_model()
    model.encoder.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
    classifier = FewShotClassifier(model).fit(clips[2:], labels[2:])
    seen.clear()
    classifier.partial_fit(clips[:1], labels[:1])
    assert sum(seen) == 1  # its only body
    seen.clear()
    classifier.remove("bow")
    assert not seen


def test_labels_of_other_kinds(new_model, clips):
    classifier = FewShotClassifier(new_model()).fit(clips[:2], ["a", "b"])
    with pytest.raises(TypeError, match="labels of one kind"):
        classifier.partial_fit(clips[2:3], [1])
    classifier.partial_fit(clips[2:3], np.array(["c"], dtype=object))
    assert classifier.classes_.tolist() == ["a", "b", "c"]
    numbers = FewShotClassifier(new_model()).fit(clips[:2], [1, 2]).partial_fit(clips[2:3], [0.5])
    assert numbers.classes_.tolist() == [0.5, 1, 2]


@pytest.mark.parametrize("bad", ["NaN", "unknown label", "length", "skeleton", "count"])
def test_a_failing_one_changes_nothing(baseline, clips, labels, queries, bad):
    model = baseline("protonet")
    classifier = FewShotClassifier(model, unknown=-1.0).fit(clips[:4], [1, 2, 1, 3])
    expected, thresholds = classifier.distances(queries), classifier.thresholds_
    long = SkeletonSequence.from_bodies(torch.zeros(1, 9, 17, 3), skeleton="coco17")
    other = SkeletonSequence.from_bodies(torch.zeros(1, 8, 25, 3))
    clip, given, message = {
        "NaN": (clips[4], [float("nan")], "label of clip 0 is NaN"),
        "unknown label": (clips[4], [-1], "is the label of unknown clips"),
        "length": (long, [1], "differ in length"),
        "skeleton": (other, [1], "has skeleton 'ntu25'"),
        "count": (clips[4], [1, 2], "one label for each clip"),
    }[bad]
    with pytest.raises(ValueError, match=message):
        classifier.partial_fit([clip], given)
    assert classifier.classes_.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(classifier.thresholds_, thresholds)
    np.testing.assert_array_equal(classifier.distances(queries), expected)


def test_remove_refuses(new_model, clips):
    classifier = FewShotClassifier(new_model())
    with pytest.raises(ValueError, match="call fit"):
        classifier.remove("a")
    classifier.fit(clips[:2], ["a", "b"])
    with pytest.raises(ValueError, match=r"unknown label 'c'; known are \['a', 'b'\]"):
        classifier.remove("c")
    classifier.remove("a")
    with pytest.raises(ValueError, match="'b' is the only class"):
        classifier.remove("b")
    assert classifier.predict(clips[:1]).tolist() == ["b"]


def test_first_clips_decide_the_layout(baseline, clips):
    classifier = FewShotClassifier(baseline()).partial_fit(clips[:2], ["a", "b"])
    classifier.partial_fit([clips[2].bodies.numpy()], ["c"])
    assert classifier.predict(clips[:3]).tolist() == ["a", "b", "c"]
    assert isinstance(classifier.model.encoder, nn.Identity)


@pytest.mark.parametrize("size", [2.0, "4", None])
def test_batch_size_is_a_whole_number(new_model, size):
    with pytest.raises(TypeError, match="batch_size must be a whole number"):
        FewShotClassifier(new_model(), batch_size=size)
