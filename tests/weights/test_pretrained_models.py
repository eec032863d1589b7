from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

from pyg_fsar import FewShotClassifier, Skeleton, load_pretrained, weights
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.datasets import FakeSkeletonDataset
from pyg_fsar.matching import build_matcher
from pyg_fsar.testing import assert_transform
from pyg_fsar.training import clip_transform, evaluate
from pyg_fsar.transforms import FillMissingJoints, MapJoints
from pyg_fsar.weights import PRETRAINED, save_model

LAYOUTS = [name for name in Skeleton.available() if name != "hand21"]


def motions(count: int = 8) -> FakeSkeletonDataset:
    return FakeSkeletonDataset("ntu25", clips_per_class=count, split="test")


def flat(clip: SkeletonSequence, score: bool = True) -> SkeletonSequence:
    """A clip as a camera from the front sees it."""
    body = MapJoints("body15")(clip)
    channels = [body.bodies[..., :2], torch.rand_like(body.bodies[..., :1])][: 1 + score]
    body = body.with_bodies(torch.cat(channels, dim=-1))
    body.skeleton = "body15_2d"
    return body


@pytest.mark.parametrize("pretrained", PRETRAINED)
@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("score", [False, True])
def test_takes_clips_of_any_layout(pretrained: str, name: str, score: bool) -> None:
    layout = Skeleton.get(name)
    model, transform = load_pretrained(pretrained)
    clip = SkeletonSequence.from_bodies(
        torch.randn(2, 11, layout.num_joints, layout.dims + score), skeleton=layout, y=0
    )
    assert_transform(transform, clip)
    prepared = transform(clip)
    assert prepared.skeleton == "body15" and prepared.bodies.shape == (2, 30, 15, 3)
    embedded = model.embed(prepared)
    assert embedded.x.isfinite().all() and embedded.x.any()


@pytest.mark.parametrize("name", PRETRAINED)
def test_classifier_takes_a_name(name: str) -> None:
    model, transform = load_pretrained(name)
    clips, labels = list(motions(1)), motions(1).labels.numpy()
    named = FewShotClassifier(name).fit(clips, labels)
    given = FewShotClassifier(model, transform=transform).fit(clips, labels)
    np.testing.assert_array_equal(named.predict_proba(clips), given.predict_proba(clips))
    own = MapJoints("body15")
    assert FewShotClassifier(name, transform=own).transform is own
    with pytest.raises(ValueError, match=f"no model '{name}s'; give body15, body15-untrained, or"):
        FewShotClassifier(f"{name}s")


def test_scores_have_no_effect() -> None:
    _, transform = load_pretrained()
    clip = FillMissingJoints()(motions(1)[0])
    torch.testing.assert_close(transform(flat(clip)).x, transform(flat(clip, score=False)).x)


@pytest.mark.parametrize("pretrained", PRETRAINED)
def test_place_view_and_size_have_no_effect(pretrained: str) -> None:
    model, transform = load_pretrained(pretrained)
    clip = FillMissingJoints()(motions(1)[0])
    turn = torch.linalg.qr(torch.randn(3, 3))[0]
    turn *= torch.linalg.det(turn).sign()
    other = clip.with_bodies(1.7 * clip.bodies @ turn + torch.tensor([1.0, 2, 3]))
    torch.testing.assert_close(
        model.embed(transform(other)).x, model.embed(transform(clip)).x, atol=2e-3, rtol=0
    )


def test_gaps_and_lost_joints() -> None:
    clips, labels = list(motions(4)), motions(4).labels.numpy()
    classifier = FewShotClassifier().fit(clips, labels)
    broken = []
    for clip in clips:
        bodies = clip.bodies.clone()
        bodies[:, 3:6] = 0  # nobody seen
        bodies[:, ::4, 6] = torch.nan
        bodies[:, :, [14, 15, 18, 19]] = 0  # no feet at all
        broken.append(clip.with_bodies(bodies))
    assert classifier.score(broken, labels) > 0.9


@pytest.mark.parametrize("pretrained", PRETRAINED)
def test_beats_time_warping_of_joints_on_generated_motions(pretrained: str) -> None:
    model, transform = load_pretrained(pretrained)
    data = motions()
    protocol = {"n_way": 4, "n_query": 3, "num_episodes": 60}
    own = evaluate(model, [transform(clip) for clip in data], **protocol)
    prepare = clip_transform(30, train=False, motion_only=True)
    dtw = type(model)(torch.nn.Identity(), build_matcher("dtw"))
    other = evaluate(dtw, [prepare(clip) for clip in data], **protocol)
    assert own.accuracy > other.accuracy + 0.03


def test_is_the_default_of_the_classifier(tmp_path) -> None:
    assert inspect.signature(FewShotClassifier).parameters["model"].default is None
    data = motions(4)
    arrays = [clip.bodies.numpy() for clip in data]
    examples, queries = arrays[::4], arrays[1::4]
    labels = [data.class_names[int(label)] for label in data.labels[::4]]
    classifier = FewShotClassifier(skeleton="ntu25").fit(examples, labels)
    assert classifier.get_params()["model"] is None
    assert classifier.score(queries, labels) >= 0.8
    # The same, said in full.
    model, transform = load_pretrained("body15")
    full = FewShotClassifier(model, "ntu25", transform).fit(examples, labels)
    expected = classifier.predict_proba(queries)
    np.testing.assert_array_equal(full.predict_proba(queries), expected)
    # Clips that know their layout need no skeleton, and may be of another and in 2D.
    mixed = FewShotClassifier().fit([data[n] for n in range(0, 20, 4)], labels)
    np.testing.assert_array_equal(mixed.predict_proba(queries := list(data)[1::4]), expected)
    assert mixed.predict([flat(clip) for clip in queries]).shape == (5,)

    classifier.save(tmp_path / "folder")
    loaded = FewShotClassifier.load(tmp_path / "folder")
    np.testing.assert_array_equal(loaded.predict_proba(arrays[1::4]), expected)
    why = loaded.explain(arrays[1])
    assert why.alignment.cost.shape == (30, 30) and np.isfinite(why.joint_evidence).all()


def test_scikit_learn_clones_the_default() -> None:
    base = pytest.importorskip("sklearn.base")
    data = motions(2)
    classifier = FewShotClassifier(skeleton="ntu25").fit(list(data), data.labels)
    copy = base.clone(classifier)
    assert copy.get_params() == classifier.get_params()
    expected = classifier.predict_proba(list(data))
    np.testing.assert_array_equal(copy.fit(list(data), data.labels).predict_proba(data), expected)


def test_arrays_of_another_layout_are_refused_with_the_cure() -> None:
    arrays = [np.ones((1, 9, 25, 3)), np.ones((1, 8, 25, 3))]
    with pytest.raises(ValueError, match=r"25 joints, but skeleton 'body15' .*skeleton=\.\.\."):
        FewShotClassifier().fit(arrays, ["a", "b"])
    with pytest.raises(ValueError, match="unknown skeleton layout 'octopus'"):
        FewShotClassifier(skeleton="octopus")


def test_names_and_folders(tmp_path) -> None:
    for name in PRETRAINED:
        save_model(tmp_path / name, *load_pretrained(name))
        assert str(load_pretrained(tmp_path / name)) == str(load_pretrained(name))
    with pytest.raises(ValueError, match="no model 'best'; give body15, body15-untrained, or a"):
        load_pretrained("best")


def test_the_default_is_trained_and_small() -> None:
    folder = Path(inspect.getfile(weights)).parent / "body15"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 5e6
    model, transform = load_pretrained()
    assert str(transform) == str(load_pretrained("body15-untrained")[1])
    clips = [transform(clip) for clip in motions(2)]
    trained, plain = model.embed(clips).x, load_pretrained("body15-untrained")[0].embed(clips).x
    learned = model.matcher.learned
    torch.testing.assert_close(trained[..., :-learned], plain)  # beside what needs no training
    assert trained[..., -learned:].std(dim=(1, 2, 3)).min() > 0
