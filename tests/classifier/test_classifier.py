from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from torch import nn
from torch_geometric.data import Batch
from torch_geometric.transforms import Compose

import pyg_fsar
from pyg_fsar import FewShotClassifier, FewShotModel
from pyg_fsar.data import Episode, SkeletonSequence
from pyg_fsar.datasets import UTDMHAD, SkeletonArrays
from pyg_fsar.matching import MATCHERS, EuclideanCost, build_matcher
from pyg_fsar.nn import AGCN, MultiStream
from pyg_fsar.training import clip_transform
from pyg_fsar.transforms import FillMissingJoints, ResampleFrames


def test_is_exported():
    assert pyg_fsar.FewShotClassifier is pyg_fsar.classifier.FewShotClassifier
    assert set(pyg_fsar.__all__) == {
        "Explanation",
        "FewShotClassifier",
        "FewShotModel",
        "Skeleton",
        "load_pretrained",
    }


# The clips are 2D, of which there are no views.
@pytest.mark.parametrize("matcher", [n for n in MATCHERS if n not in ("views", "jeanie")])
def test_equals_the_model_on_an_episode(new_model, clips, queries, labels, matcher):
    model = new_model(matcher).eval()
    classifier = FewShotClassifier(model).fit(clips, labels)
    classes = sorted(set(labels))
    for clip, label in zip(clips, labels, strict=True):
        clip.y = classes.index(label)
    for clip in queries:
        clip.y = 0
    # Classes of an episode are numbered as they come: let them come sorted.
    order = np.argsort([classes.index(label) for label in labels], kind="stable")
    with torch.no_grad():
        logits, _ = model(Episode.from_clips([clips[i] for i in order], queries))
    probabilities = classifier.predict_proba(queries)
    assert probabilities.shape == (5, 3)
    np.testing.assert_allclose(probabilities, logits.softmax(-1).numpy(), rtol=1e-3, atol=1e-5)
    assert classifier.classes_.tolist() == ["bow", "kick", "wave"]
    expected = np.array(classes)[probabilities.argmax(axis=1)]
    assert classifier.predict(queries).tolist() == expected.tolist()


@pytest.mark.parametrize("shots", ["mean", "average"])
def test_support_clips_get_their_own_labels(new_model, clips, shots):
    labels = ["e", "b", "d", "a", "f", "c"]  # one shot each
    classifier = FewShotClassifier(new_model(shots=shots)).fit(clips, labels)
    assert classifier.predict(clips).tolist() == labels
    assert classifier.score(clips, labels) == 1
    assert classifier.score(clips, [*labels[:3], "x", "x", "x"]) == 0.5


def test_probabilities_are_numpy_and_sum_to_one(fitted, queries):
    probabilities = fitted.predict_proba(queries)
    assert isinstance(probabilities, np.ndarray) and probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    assert isinstance(fitted.predict(queries), np.ndarray)


def test_order_of_support_and_queries_does_not_matter(fitted, clips, queries, labels):
    expected = fitted.predict_proba(queries)
    order = [4, 2, 0, 5, 3, 1]
    fitted.fit([clips[i] for i in order], [labels[i] for i in order])
    np.testing.assert_allclose(fitted.predict_proba(queries), expected, rtol=1e-4)
    np.testing.assert_allclose(fitted.predict_proba(queries[::-1]), expected[::-1], rtol=1e-4)


def test_names_of_labels_only_order_the_columns(new_model, clips, queries, labels):
    names = {"wave": 30, "bow": 2, "kick": 10}
    numbered = [names[label] for label in labels]
    texts = FewShotClassifier(new_model()).fit(clips, labels)
    numbers = FewShotClassifier(new_model()).fit(clips, torch.tensor(numbered))
    assert numbers.classes_.tolist() == [2, 10, 30]
    assert numbers.predict(queries).tolist() == [names[name] for name in texts.predict(queries)]
    np.testing.assert_allclose(
        numbers.predict_proba(queries), texts.predict_proba(queries), rtol=1e-5
    )


@pytest.mark.parametrize("transform", [None, ResampleFrames(8, "uniform")])
@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_batch_size_does_not_matter(new_model, ragged, labels, batch_size, transform):
    def probabilities(size):
        # Its convolutions mix frames, and so would mix padding in.
        model = new_model("soft_dtw", plan=((4, 1), (8, 1)), shots="average")
        classifier = FewShotClassifier(model, transform=transform, batch_size=size)
        return classifier.fit(ragged, labels).predict_proba(ragged[::-1])

    np.testing.assert_allclose(probabilities(batch_size), probabilities(64), rtol=1e-4)


def test_ragged_clips_with_strides(new_model, ragged, labels):
    """The encoder halves the frames, which it cannot do where some are padding."""
    model = new_model("dtw", shots="average")
    classifier = FewShotClassifier(model).fit(ragged, labels)
    for clip, probabilities in zip(ragged, classifier.predict_proba(ragged), strict=True):
        np.testing.assert_allclose(classifier.predict_proba([clip])[0], probabilities, rtol=1e-4)


def test_fit_again_replaces_and_a_failing_one_does_not(fitted, clips, queries, labels):
    fitted.fit(clips[:2], ["x", "y"])
    assert fitted.predict_proba(queries).shape == (5, 2)
    expected = fitted.predict_proba(queries)
    with pytest.raises(ValueError, match="clip 1 has no frames"):
        fitted.fit([clips[0], SkeletonSequence(torch.zeros(0, 17, 3), 1, 0, "coco17")], ["a", "b"])
    assert fitted.classes_.tolist() == ["x", "y"]
    np.testing.assert_array_equal(fitted.predict_proba(queries), expected)


def test_leaves_the_model_as_it_was(new_model, clips, queries, labels):
    model = new_model().train()
    model.encoder.input_norm.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [part.training for part in model.modules()]
    classifier = FewShotClassifier(model).fit(clips, labels)
    first = classifier.predict_proba(queries)
    classifier.explain(queries[0])
    np.testing.assert_array_equal(classifier.predict_proba(queries), first)  # no dropout
    with pytest.raises(ValueError, match="no frames"):
        classifier.predict([SkeletonSequence(torch.zeros(0, 17, 3), 1, 0, "coco17")])
    assert [part.training for part in model.modules()] == modes
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.is_grad_enabled()


def test_clips_as_arrays_or_a_dataset(fitted, clips, labels, queries):
    expected = fitted.predict_proba(queries)
    classifier = FewShotClassifier(fitted.model)
    classifier.fit([clip.bodies.numpy() for clip in clips], labels)
    np.testing.assert_array_equal(classifier.predict_proba(queries), expected)
    bodies = [clip.bodies if len(clip.bodies) > 1 else clip.bodies[0] for clip in queries]
    np.testing.assert_array_equal(classifier.predict_proba(bodies), expected)
    whole = np.stack([clip.bodies[0] for clip in queries])  # [n, T, V, C]
    np.testing.assert_allclose(
        classifier.predict_proba(whole), classifier.predict_proba(list(whole)), rtol=1e-5
    )
    dataset = SkeletonArrays([clip.bodies for clip in queries], range(5), skeleton="coco17")
    np.testing.assert_array_equal(classifier.predict_proba(dataset), expected)


def test_transform_comes_first_and_leaves_the_clips(new_model, ragged, labels):
    transform = ResampleFrames(6, "uniform")
    before = [clip.x.clone() for clip in ragged]
    classifier = FewShotClassifier(new_model("protonet"), transform=transform).fit(ragged, labels)
    expected = FewShotClassifier(new_model("protonet")).fit(
        [transform(clip) for clip in ragged], labels
    )
    np.testing.assert_array_equal(
        classifier.predict_proba(ragged),
        expected.predict_proba([transform(clip) for clip in ragged]),
    )
    for clip, x in zip(ragged, before, strict=True):
        assert torch.equal(clip.x, x)


def test_streams(clips, queries, labels):
    encoder = MultiStream(
        lambda: AGCN("coco17", plan=[(4, 1)]), streams=("joint", "bone"), weights=(2.0, 1.0)
    )
    classifier = FewShotClassifier(FewShotModel(encoder, build_matcher("dtw")))
    assert classifier.fit(clips, labels).predict_proba(queries).shape == (5, 3)
    why = classifier.explain(queries[0])
    assert why.joint_evidence.shape == (17,)


def test_double_precision(new_model, clips, labels, queries):
    classifier = FewShotClassifier(new_model().double()).fit(clips, labels)
    single = FewShotClassifier(new_model()).fit(clips, labels)
    np.testing.assert_allclose(
        classifier.predict_proba(queries), single.predict_proba(queries), rtol=1e-3
    )


def test_model_from_its_folder(fitted, clips, labels, queries, tmp_path):
    fitted.model.save_pretrained(tmp_path / "model")
    for folder in (tmp_path / "model", str(tmp_path / "model")):
        classifier = FewShotClassifier(folder, device="cpu").fit(clips, labels)
        np.testing.assert_array_equal(
            classifier.predict_proba(queries), fitted.predict_proba(queries)
        )


def test_untrained_baseline_on_real_clips(utd_root, baseline, tmp_path):
    """Joints as they are, by DTW: one person's clips name those of another."""
    pytest.importorskip("scipy.io")
    for subject in (1, 2):
        for file in utd_root.rglob(f"a*_s{subject}_t*_skeleton.mat"):
            (tmp_path / file.name).symlink_to(file)
    data = UTDMHAD(tmp_path, split="test", num_workers=0)
    names = np.array([data.class_names[label] for label in data.labels.tolist()])
    support, query = (np.flatnonzero(data.metadata("subject") == subject) for subject in (1, 2))
    classifier = FewShotClassifier(
        baseline("dtw", cost="euclidean"),
        transform=clip_transform(16, train=False),
        batch_size=10,
    )
    classifier.fit(data.gather(support.tolist()), names[support])
    assert len(classifier.classes_) == 7
    assert classifier.skeleton_.name == "kinect20"
    assert classifier.score(data.gather(query.tolist()), names[query]) > 4 / 7


def test_params_are_those_of_the_constructor(new_model, clips, labels, tmp_path):
    transform = ResampleFrames(6, "uniform")
    classifier = FewShotClassifier(new_model(), "coco17", transform, "cpu", 5)
    params = {"model": classifier.model, "skeleton": "coco17", "transform": transform}
    params |= {"device": "cpu", "batch_size": 5, "unknown": None, "false_alarms": 0.05}
    assert classifier.get_params() == classifier.get_params(deep=False) == params
    classifier.model.save_pretrained(tmp_path)
    assert FewShotClassifier(tmp_path).get_params()["model"] is not tmp_path

    classifier.fit(clips, labels)
    expected = classifier.predict_proba(clips)
    assert classifier.set_params() is classifier
    np.testing.assert_array_equal(classifier.predict_proba(clips), expected)
    assert classifier.set_params(batch_size=2) is classifier
    assert classifier.get_params() == params | {"batch_size": 2}
    with pytest.raises(NotFittedError, match="call fit"):  # which was done by other parameters
        classifier.predict(clips)
    np.testing.assert_allclose(classifier.fit(clips, labels).predict_proba(clips), expected, 1e-5)


def test_refuses_params_and_stays_as_it_was(fitted, clips):
    with pytest.raises(ValueError, match="'batch'; known are model, skeleton, transform, "):
        fitted.set_params(batch=3, transform=None)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        fitted.set_params(batch_size=0)
    with pytest.raises(TypeError, match="join an encoder and a matcher"):
        fitted.set_params(model=fitted.model.encoder, batch_size=3)
    assert fitted.batch_size == 64
    assert len(fitted.predict(clips)) == 6


@pytest.mark.parametrize("device", [None, "cpu", torch.device("cpu")])
def test_scikit_learn_clones_it(new_model, clips, labels, device):
    base = pytest.importorskip("sklearn.base")
    classifier = FewShotClassifier(new_model(), device=device).fit(clips, labels)
    assert base.is_classifier(classifier)  # so folds are stratified
    copy = base.clone(classifier)
    assert copy.model is not classifier.model
    with pytest.raises(NotFittedError, match="call fit"):
        copy.predict(clips)
    np.testing.assert_array_equal(
        copy.fit(clips, labels).predict_proba(clips), classifier.predict_proba(clips)
    )


@pytest.mark.parametrize("kind", ["list", "array", "dataset"])
def test_scikit_learn_cross_validates_it(new_model, clips, labels, kind):
    selection = pytest.importorskip("sklearn.model_selection")
    bodies = [clip.bodies[:1] for clip in clips] * 2  # every clip twice, once in each half
    labels = np.array(labels * 2)
    data = {
        "list": bodies,
        "array": np.stack(bodies),
        "dataset": SkeletonArrays(bodies, np.unique(labels, return_inverse=True)[1], "coco17"),
    }[kind]
    halves = selection.PredefinedSplit([0] * 6 + [1] * 6)
    classifier = FewShotClassifier(new_model(shots="average"))
    scores = selection.cross_val_score(classifier, data, labels, cv=halves)
    whole = classifier.fit(bodies[:6], labels[:6]).score(bodies[6:], labels[6:])
    assert scores.tolist() == [whole, whole]


def test_scikit_learn_chooses_among_models(new_model, baseline, clips, labels):
    selection = pytest.importorskip("sklearn.model_selection")
    models = [new_model(), baseline("dtw", cost="euclidean")]
    # All clips are support and queries both, so joints as they are name them without fault.
    search = selection.GridSearchCV(
        FewShotClassifier(models[0]), {"model": models}, cv=[(range(6), range(6))]
    )
    search.fit(clips, [str(number) for number in range(6)])
    assert search.cv_results_["mean_test_score"][1] == 1
    assert search.predict(clips).tolist() == [str(number) for number in range(6)]


def test_refuses_a_model_that_is_none(new_model):
    with pytest.raises(TypeError, match="got STGCN; join"):
        FewShotClassifier(new_model().encoder)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        FewShotClassifier(new_model(), batch_size=0)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "explain", "save"])
def test_refuses_to_work_before_fit(new_model, clips, tmp_path, method):
    classifier = FewShotClassifier(new_model())
    argument = tmp_path / "new" if method == "save" else clips
    with pytest.raises(ValueError, match=r"call fit\(clips, labels\) first"):
        getattr(classifier, method)(argument)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (["a"], ValueError, r"labels have shape \(1,\), but there are 6 clips"),
        ([[1]] * 6, ValueError, r"labels have shape \(6, 1\)"),
        (["a", 1, "b", 2, "c", 3], TypeError, "labels of one kind"),
        ([None, 1, 2, 3, 4, 5], TypeError, "labels of one kind"),
    ],
)
def test_refuses_labels(fitted, clips, wrong, error, message):
    with pytest.raises(error, match=message):
        fitted.fit(clips, wrong)


def test_score_refuses_labels(fitted, clips):
    with pytest.raises(ValueError, match=r"labels have shape \(2,\)"):
        fitted.score(clips, ["wave", "bow"])


@pytest.mark.parametrize("collection", [[], np.zeros((0, 8, 17, 3))])
def test_refuses_no_clips(fitted, collection):
    for call in (fitted.predict, lambda clips: fitted.fit(clips, []), fitted.predict_proba):
        with pytest.raises(ValueError, match="there are no clips"):
            call(collection)


def test_refuses_one_clip_or_a_batch_as_clips(fitted, clips):
    for single in (clips[0], Batch.from_data_list(clips)):
        with pytest.raises(TypeError, match="give a list"):
            fitted.predict(single)
        with pytest.raises(TypeError, match="give a list"):
            fitted.fit(single, ["a"])
    with pytest.raises(TypeError, match=r"array of shape \(8, 17, 3\); give a list .*\[clip\]"):
        fitted.predict(clips[0].bodies[0])
    for none in (None, iter(clips)):
        with pytest.raises(TypeError, match="give a dataset, list or array"):
            fitted.predict(none)


BAD_CLIPS = {
    "text": ("clip", TypeError, "clip 1 is of type str"),
    "list": ([[0.0]], TypeError, "clip 1 is of type list"),
    "axes": (np.zeros((8, 17)), ValueError, "bodies must be"),
    "joints": (np.zeros((8, 25, 3)), ValueError, "has 25 joints, but skeleton 'coco17' has 17"),
    "NaN": (np.full((8, 17, 3), np.nan), ValueError, "clip '1': body 0, frame 0.* is NaN"),
    "no frames": (np.zeros((0, 17, 3)), ValueError, "clip '1' is empty"),
    "channels": (np.zeros((8, 17, 2)), ValueError, "differ in joints and channels"),
    "skeleton": (
        SkeletonSequence.from_bodies(torch.zeros(1, 8, 17, 3), skeleton="h36m17"),
        ValueError,
        "clip 1 has skeleton 'h36m17', but the model or its support has 'coco17'",
    ),
    "unnamed": (SkeletonSequence(torch.zeros(8, 17, 3), 1), ValueError, "has skeleton None"),
    "NaN clip": (
        SkeletonSequence.from_bodies(
            torch.full((1, 8, 17, 3), torch.nan), skeleton="coco17", allow_nan=True
        ),
        ValueError,
        "clip '1': body 0.* is NaN",
    ),
}


@pytest.mark.parametrize("case", BAD_CLIPS)
def test_refuses_bad_clips(fitted, clips, case):
    bad, error, message = BAD_CLIPS[case]
    with pytest.raises(error, match=message):
        fitted.predict([clips[0], bad])
    with pytest.raises(error, match=message):
        fitted.fit([clips[0], bad], ["a", "b"])


def test_a_transform_may_fill_what_is_missing(new_model, clips, labels):
    bodies = [clip.bodies.clone() for clip in clips]
    bodies[0][0, 2, 5] = torch.nan
    classifier = FewShotClassifier(new_model(), transform=Compose([FillMissingJoints()]))
    assert np.isfinite(classifier.fit(bodies, labels).predict_proba(bodies)).all()


def test_encoder_without_skeleton_takes_that_of_the_support(baseline, clips, labels, queries):
    classifier = FewShotClassifier(baseline())
    with pytest.raises(ValueError, match=r"SkeletonSequence\.from_bodies"):
        classifier.fit([clip.bodies for clip in clips], labels)
    classifier.fit(clips, labels)
    np.testing.assert_array_equal(
        classifier.predict_proba([clip.bodies for clip in queries]),
        classifier.predict_proba(queries),
    )
    with pytest.raises(ValueError, match="has skeleton 'ntu25'"):
        classifier.predict([SkeletonSequence.from_bodies(torch.zeros(1, 8, 25, 3))])
    mixed = [*clips[:5], SkeletonSequence.from_bodies(torch.zeros(1, 8, 17, 2), skeleton="coco17")]
    with pytest.raises(ValueError, match="differ in joints and channels"):
        classifier.fit(mixed, labels)


def test_refuses_ragged_clips_that_the_matcher_cannot_compare(baseline, ragged, labels):
    with pytest.raises(ValueError, match="shots='average'"):
        FewShotClassifier(baseline("dtw")).fit(ragged, labels)
    with pytest.raises(ValueError, match="equal length"):
        FewShotClassifier(baseline("protonet", shots="average")).fit(ragged, labels)
    classifier = FewShotClassifier(baseline("protonet")).fit(ragged[:1] * 2, ["a", "b"])
    with pytest.raises(ValueError, match="equal length"):
        classifier.predict(ragged[1:2])


def test_nan_in_the_model_has_a_name(new_model, clips, labels, queries):
    classifier = FewShotClassifier(new_model(learn_scale=True)).fit(clips, labels)
    with torch.no_grad():
        classifier.model.matcher.log_scale.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="a logit of clip 0 is NaN"):
        classifier.predict(queries)
    with torch.no_grad():
        next(classifier.model.encoder.parameters()).fill_(torch.nan)
    for use in (classifier.predict, classifier.predict_proba):
        with pytest.raises(
            FloatingPointError, match=r"embedding of clip 0 is NaN or infinite; look"
        ):
            use(queries)
    with pytest.raises(FloatingPointError, match="embedding of clip 0"):
        classifier.fit(clips, labels)


@pytest.mark.parametrize("options", [{"scale": 3.0}, {"scale": 3.0, "learn_scale": True}])
def test_distances_tell_whether_a_clip_resembles_any_class(new_model, clips, labels, options):
    classifier = FewShotClassifier(new_model(shots="nearest", **options)).fit(clips, labels)
    distances = classifier.distances(clips)
    assert distances.shape == (6, 3)
    of_own = distances[np.arange(6), np.searchsorted(classifier.classes_, labels)]
    np.testing.assert_allclose(of_own, 0, atol=1e-5)
    plain = FewShotClassifier(new_model(shots="nearest")).fit(clips, labels)
    np.testing.assert_allclose(distances, plain.distances(clips), rtol=1e-5, atol=1e-6)
    strange = [clip.with_bodies(clip.bodies.flip(-2)) for clip in clips]
    assert classifier.distances(strange).min() > 0.01
    assert classifier.predict_proba(strange).max(axis=1).min() > 0.3  # which does not tell


def test_any_matcher_will_do(clips, labels, queries):
    """All that it needs is the forward pass; to explain, a method ``align``, too."""

    class First(nn.Module):
        def forward(self, support, support_y, query, *lengths, n_way=None):
            cost = EuclideanCost()(query[:, :1], support[:, :1]).flatten(1)
            return -torch.stack([cost[:, support_y == n].mean(1) for n in range(3)], dim=1)

    classifier = FewShotClassifier(FewShotModel(nn.Identity(), First())).fit(clips, labels)
    assert classifier.predict_proba(queries).shape == (5, 3)
    with pytest.raises(TypeError, match="First has no method align"):
        classifier.explain(queries[0])
