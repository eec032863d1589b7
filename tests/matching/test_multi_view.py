"""Matchers that compare views of a query, within a model."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pyg_fsar import FewShotClassifier, FewShotModel
from pyg_fsar.data import EmbeddedClips, Episode, SkeletonSequence
from pyg_fsar.matching import (
    DTW,
    MotionMatcher,
    MultiViewMatcher,
    build_matcher,
    cosine_cost,
    jeanie,
    matcher_options,
    soft_dtw,
)
from pyg_fsar.nn import STGCN, MultiStream, MultiView, RankMax
from pyg_fsar.training import ModelOptions, build_model, evaluate

ANGLES = (-40.0, 0.0, 40.0)


def turned(x, degrees):
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return x @ torch.tensor([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]).to(x).T


def episode(frames=6, joints=25):
    bodies = torch.randn(5, frames, joints, 3)
    return Episode(
        bodies, torch.arange(5), torch.full((5,), frames), torch.arange(2),
        torch.tensor([0, 1, 0]), torch.arange(2),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["views", "jeanie"])
@pytest.mark.parametrize("ragged", [False, True])
def test_equals_a_loop_over_pairs_and_views(name, ragged):
    task = episode()
    if ragged:
        task.lengths[:] = torch.tensor([6, 3, 4, 6, 2])
        task.ragged = True
    matcher = build_matcher(name, azimuths=ANGLES, gamma=0.2)
    logits = FewShotModel(nn.Identity(), matcher)(task).logits
    clips = [body[:n] for body, n in zip(task.bodies, task.lengths, strict=True)]
    for q in range(3):
        for s in range(2):
            query, support = clips[2 + q][None], clips[s][None]
            costs = [cosine_cost(turned(query, angle), support)[0, 0] for angle in ANGLES]
            if name == "jeanie":
                expected = jeanie(torch.stack(costs), 0.2)
            else:
                each = torch.stack([soft_dtw(cost, 0.2) for cost in costs])
                expected = -0.1 * (each / -0.1).logsumexp(dim=0)
            torch.testing.assert_close(logits[q, s], -expected)


@pytest.mark.parametrize("name", ["views", "jeanie"])
def test_a_turned_query_is_found(name):
    support = EmbeddedClips(torch.randn(4, 5, 25, 3))
    model = FewShotModel(nn.Identity(), build_matcher(name, azimuths=(0, 40, -40)))
    query = turned(support.x, 40)
    embedded = [
        EmbeddedClips(model.encoder(x), y=y)
        for x, y in ((support.x, torch.arange(4)), (query, None))
    ]
    assert model.match(*embedded).argmax(dim=-1).tolist() == [0, 1, 2, 3]
    plain = build_matcher(name).distances(support.x, torch.arange(4), query)
    assert (-model.match(*embedded).diag() < plain.diag() - 0.5).all()


def test_options_of_the_inner_aligner():
    assert build_matcher("views", inner="dtw", band=2).aligner.inner == DTW(band=2)
    assert "lam" in matcher_options("views", inner="otam")
    for options, unknown in (({"inner": "dtw"}, "gamma"), ({}, "lam")):
        with pytest.raises(TypeError, match=f"'views' has no option {unknown}"):
            build_matcher("views", **options, **{unknown: 0.1})
    with pytest.raises(ValueError, match="unknown aligner 'walk'; known are diagonal"):
        build_matcher("views", inner="walk")
    options = ModelOptions(
        blocks=2, matcher="views", matcher_options=("inner=otam", "azimuths=(0,20)", "lam=0.3")
    )
    model = build_model(options, "ntu25")
    assert model.matcher.aligner.inner.lam == 0.3 and model.encoder.num_views == 2


@pytest.mark.parametrize("name", ["views", "jeanie"])
def test_training_reaches_the_encoder_through_every_view(name):
    encoder = STGCN("ntu25", plan=[(8, 1)])
    model = FewShotModel(encoder, build_matcher(name, divergence=True, activation=True, channels=8))
    model.penalty = RankMax()
    logits, penalty = model(episode())
    (logits.square().sum() + penalty).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", ["views", "jeanie"])
def test_classifier_evaluation_and_folder(name, tmp_path):
    clips = [
        SkeletonSequence.from_bodies(torch.randn(1, 5 + n % 2, 25, 3), y=n % 2) for n in range(8)
    ]
    model = FewShotModel(STGCN("ntu25", plan=[(6, 1)]), build_matcher(name, shots="nearest"))
    classifier = FewShotClassifier(model).fit(clips, ["a", "b"] * 4)
    assert classifier.predict(clips).tolist() == ["a", "b"] * 4
    why = classifier.explain(clips[0])
    assert why.alignment.cost.shape == why.alignment.weights.shape == (5, 5)
    assert why.joint_evidence.shape == (25,)
    classifier.save(tmp_path / "c")
    loaded = FewShotClassifier.load(tmp_path / "c")
    assert (loaded.predict_proba(clips) == classifier.predict_proba(clips)).all()
    result = evaluate(model, clips, n_way=2, n_query=1, num_episodes=2)
    assert 0 <= result.accuracy <= 1


def test_streams_that_do_not_fit_are_refused():
    matcher = build_matcher("views", azimuths=(0, 20))
    with pytest.raises(ValueError, match="does not take the streams of MultiStream"):
        FewShotModel(MultiStream(lambda: STGCN("ntu25", num_blocks=2)), matcher)
    with pytest.raises(ValueError, match="Matcher does not compare"):
        FewShotModel(MultiView(nn.Identity()), build_matcher("dtw"))
    with pytest.raises(ValueError, match=r"makes views at \(-30.0, 0.0, 30.0\), but the matcher"):
        FewShotModel(MultiView(nn.Identity()), matcher)
    with pytest.raises(TypeError, match="Matcher compares no views"):
        MultiViewMatcher(build_matcher("dtw"))
    with pytest.raises(TypeError, match="MotionMatcher compares no views"):
        MultiViewMatcher(MotionMatcher())
    with pytest.raises(ValueError, match="a mixture sees one view"):
        build_matcher("mixture", matchers=("views", "dtw"))
    bound = MultiViewMatcher(matcher)
    with pytest.raises(ValueError, match="5 channels do not divide among 2 views; encode with"):
        bound(torch.randn(2, 4, 3, 5), torch.arange(2), torch.randn(1, 4, 3, 5))


def test_flat_clips_are_refused():
    matcher = build_matcher("views")
    with pytest.raises(ValueError, match="'coco17' has 2 coordinates; use a matcher without views"):
        FewShotModel(STGCN("coco17", num_blocks=2), matcher)
    flat = SkeletonSequence.from_bodies(torch.randn(1, 5, 17, 3), skeleton="coco17")
    model = FewShotModel(nn.Identity(), matcher)
    with pytest.raises(ValueError, match="views are rotated 3D clips, but 'coco17'"):
        model.embed([flat])
    with pytest.raises(ValueError, match="joints have 2 channels; give 3D clips"):
        model.encoder(torch.randn(1, 5, 17, 2))


@pytest.mark.parametrize("azimuths", [(), (10, 20), (0, 0), (0, math.nan), "0", ("a", 0)])
def test_refuses_azimuths(azimuths):
    for make in (
        lambda: build_matcher("views", azimuths=azimuths),
        lambda: build_matcher("jeanie", azimuths=azimuths),
        lambda: MultiView(nn.Identity(), azimuths),
    ):
        with pytest.raises(ValueError, match="azimuths must be different angles in degrees, one"):
            make()
