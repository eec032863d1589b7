from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pyg_fsar import FewShotClassifier, FewShotModel
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.matching import build_matcher
from pyg_fsar.training import calibrate, embed_dataset, evaluate, evaluate_open_set


@pytest.fixture(scope="module")
def motions():
    """Labelled clips of one frame, classes apart by more or less than their noise."""

    def make(apart, num_classes=6, seed=0):
        generator = torch.Generator().manual_seed(seed)
        poses = apart * torch.randn(num_classes, 1, 1, 17, 3, generator=generator)
        return [
            SkeletonSequence.from_bodies(
                poses[label] + torch.randn(1, 1, 17, 3, generator=generator),
                y=label,
                skeleton="coco17",
            )
            for label in range(num_classes)
            for _ in range(12)
        ]

    return make


def model(scale=1.0):
    return FewShotModel(nn.Identity(), build_matcher("dtw", cost="euclidean", scale=scale)).eval()


OPTIONS = {"n_way": 3, "k_shot": 2, "n_query": 4, "num_episodes": 30}


def test_known_and_unknown_queries(motions):
    easy = evaluate_open_set(model(), motions(3.0), **OPTIONS)
    assert easy.aurocs.shape == easy.accuracies.shape == (30,)
    assert easy.aurocs.min() == 1 and easy.accuracies.min() == 1
    hard = evaluate_open_set(model(), motions(0.4), **OPTIONS)
    assert 0.5 < hard.aurocs.mean() < 1
    assert (hard.accuracies <= hard.closed_accuracies).all()
    assert "AUROC" in str(hard)
    chance = evaluate_open_set(model(), motions(0.0), **OPTIONS)
    assert abs(chance.aurocs.mean() - 0.5) < 0.1
    # The more false alarms are allowed, the more known queries pass.
    loose = evaluate_open_set(model(), motions(0.4), **OPTIONS, false_alarms=0.3)
    assert loose.accuracies.mean() > hard.accuracies.mean()
    assert loose.threshold < hard.threshold


def test_a_score_replaces_the_logits(motions):
    clips, own = motions(0.4), model()
    expected = evaluate_open_set(own, clips, **OPTIONS)
    scaled = evaluate_open_set(own, clips, **OPTIONS, score=lambda s, q, n: 7 * own.match(s, q, n))
    torch.testing.assert_close(scaled.aurocs, expected.aurocs)
    torch.testing.assert_close(scaled.accuracies, expected.accuracies)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_temperature_makes_episodes_likeliest(motions, scale):
    clips, given = motions(0.5), model(scale)
    found = calibrate(given, clips, **OPTIONS)
    assert found.encoder is given.encoder and given.temperature == 1 and not found.training

    def loss(factor):
        other = FewShotModel(given.encoder, given.matcher, None, factor * found.temperature)
        return evaluate(other, clips, 3, 2, 4, 30).loss

    assert loss(1.0) < min(loss(0.8), loss(1.25), evaluate(given, clips, 3, 2, 4, 30).loss)
    assert (
        evaluate(given, clips, 3, 2, 4, 30).accuracy == evaluate(found, clips, 3, 2, 4, 30).accuracy
    )
    # Whatever the scale was, the same logits follow, and a second time changes nothing.
    assert scale / found.temperature == pytest.approx(
        1 / calibrate(model(), clips, **OPTIONS).temperature, rel=1e-3
    )
    assert calibrate(found, clips, **OPTIONS).temperature == pytest.approx(found.temperature, 1e-3)


def test_temperature_where_nothing_is_confused(motions):
    found = calibrate(model(), motions(9.0), **OPTIONS)
    assert evaluate(found, motions(9.0), 3, 2, 4, 30).loss < 1e-3


def test_temperature_is_saved_and_leaves_distances(motions, tmp_path):
    clips = motions(0.5)
    warm = FewShotModel(nn.Identity(), model().matcher, None, temperature=4.0)
    labels = [int(clip.y) for clip in clips]
    plain, calm = (FewShotClassifier(m).fit(clips, labels) for m in (model(), warm))
    np.testing.assert_allclose(calm.distances(clips), plain.distances(clips), rtol=1e-5)
    assert (calm.predict(clips) == plain.predict(clips)).all()
    assert calm.predict_proba(clips).max(1).mean() < plain.predict_proba(clips).max(1).mean()
    warm.save_pretrained(tmp_path)
    again = FewShotModel.from_pretrained(tmp_path, encoder=nn.Identity())
    assert again.temperature == 4
    calm.save(tmp_path / "fitted")
    loaded = FewShotClassifier.load(tmp_path / "fitted", encoder=nn.Identity())
    np.testing.assert_array_equal(loaded.predict_proba(clips), calm.predict_proba(clips))


def test_a_matcher_that_only_ranks_needs_a_score(motions):
    mixed = FewShotModel(nn.Identity(), build_matcher("mixture", matchers=("dtw", "otam")))
    with pytest.raises(ValueError, match=r"telling unknown classes needs .* MixtureMatcher only"):
        evaluate_open_set(mixed, motions(3.0), **OPTIONS)
    found = evaluate_open_set(mixed, motions(3.0), **OPTIONS, score=model().match)
    assert found.aurocs.min() == 1


def test_refuses(motions):
    for n_way, needed in ((4, 8), (0, 2), (-1, 2)):
        match = f"n_way={n_way} known classes .* need {needed} classes or more, .* has 6; give"
        with pytest.raises(ValueError, match=match):
            evaluate_open_set(model(), motions(1.0), n_way=n_way)
    for wrong in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="temperature must be a positive number"):
            FewShotModel(nn.Identity(), model().matcher, temperature=wrong)

    class Broken(nn.Module):
        def forward(self, support, support_y, query):
            return torch.full((len(query), 3), torch.nan)

    broken = FewShotModel(nn.Identity(), Broken())
    with pytest.raises(FloatingPointError, match="a logit is NaN"):
        calibrate(broken, motions(1.0), **OPTIONS)
    with pytest.raises(ValueError, match="a score is NaN"):
        evaluate_open_set(broken, motions(1.0), **OPTIONS)
    embedded = embed_dataset(model(), motions(1.0, num_classes=7))
    for measure in (calibrate, evaluate_open_set):
        with pytest.raises(ValueError, match="embedded has 84 clips and the dataset 72"):
            measure(model(), motions(1.0), **OPTIONS, embedded=embedded)
    with pytest.raises(ValueError, match="one class is always certain"):
        calibrate(model(), motions(1.0), n_way=1)
