"""Matchers by name, whoever makes them."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from pyg_fsar import FewShotClassifier, FewShotModel
from pyg_fsar.data import EmbeddedClips, SkeletonSequence
from pyg_fsar.matching import (
    MATCHERS,
    PairMaker,
    SoftDTW,
    build_matcher,
    match,
    matcher_options,
    soft_alignment,
    soft_dtw,
)
from pyg_fsar.training import ModelOptions, build_model


class TimeMean(nn.Module):
    """A matcher with weights, no base class, and the plain forward only."""

    def __init__(self, channels=256, depth=1):
        super().__init__()
        self.layers = nn.Sequential(*[nn.Linear(channels, channels) for _ in range(depth)])

    def forward(self, support, support_y, query):
        support, query = (self.layers(x.mean(dim=(1, 2))) for x in (support, query))
        n_way = int(support_y.max()) + 1
        classes = torch.stack([support[support_y == n].mean(dim=0) for n in range(n_way)])
        return -torch.cdist(query, classes)


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(MATCHERS, "time_mean", TimeMean)


def test_any_callable_gets_a_name(registered, monkeypatch):
    assert len(build_matcher("time_mean", channels=4, depth=3).layers) == 3
    monkeypatch.setitem(MATCHERS, "quick", lambda **options: TimeMean(4, **options))
    assert len(build_matcher("quick", depth=2).layers) == 2
    with pytest.raises(TypeError, match="'time_mean' has no option gamma; it has channels, depth"):
        build_matcher("time_mean", gamma=0.1)


def made_by_keywords(**options):
    return build_matcher("dtw", **options)


@pytest.mark.parametrize(
    "maker",
    [
        made_by_keywords,
        partial(build_matcher, "soft_dtw"),
        partial(MATCHERS["soft_dtw"], gamma=0.5),
    ],
)
def test_makers_that_pass_options_on_take_them_everywhere(maker, monkeypatch):
    monkeypatch.setitem(MATCHERS, "mine", maker)
    options = ModelOptions(matcher="mine", shots="average", matcher_options=("band=3",))
    for matcher in (
        build_matcher("mine", shots="average", band=3),
        build_model(options, "coco17").matcher,
    ):
        assert matcher.shots == "average" and matcher.aligner.band == 3


def test_refuses_a_maker_of_something_else(monkeypatch):
    monkeypatch.setitem(MATCHERS, "mine", lambda: 3)
    with pytest.raises(TypeError, match="maker of matcher 'mine' made 3, which is no module"):
        build_matcher("mine")
    with pytest.raises(TypeError, match="'mine' has no option gamma; it has none"):
        build_matcher("mine", gamma=1)
    with pytest.raises(TypeError, match=r"cost must be a name or a cost, .*got 3"):
        build_matcher("dtw", cost=3)


def test_it_works_in_options_model_and_classifier(registered):
    options = ModelOptions(blocks=2, matcher="time_mean", matcher_options=("depth=2",))
    model = build_model(options, "coco17")
    assert model.matcher.layers[0].in_features == model.encoder.out_channels
    clips = [
        SkeletonSequence.from_bodies(torch.randn(1, 8, 17, 3), skeleton="coco17") for _ in range(4)
    ]
    classifier = FewShotClassifier(model).fit(clips, ["a", "b", "a", "b"])
    assert classifier.predict_proba(clips[:3]).shape == (3, 2)


def test_a_matcher_without_lengths_says_so(registered):
    model = FewShotModel(nn.Identity(), build_matcher("time_mean", channels=3))
    clips = [torch.randn(T, 17, 3) for T in (5, 7)]
    support = EmbeddedClips.from_clips(clips, torch.arange(2))
    with pytest.raises(ValueError, match="in length, which TimeMean does not take; resample"):
        model.match(support, support)
    whole = EmbeddedClips(torch.randn(2, 5, 17, 3), y=torch.arange(2))
    assert match(model.matcher, whole, whole, n_way=2).shape == (2, 2)
    with pytest.raises(ValueError, match="support clips have no classes"):
        match(model.matcher, whole.with_y(None), whole)


@pytest.mark.parametrize("name", MATCHERS)
def test_options_that_are_listed_are_taken(name):
    options = matcher_options(name)
    same = {key: value for key, value in options.items() if key not in ("cost", "activation")}
    assert repr(build_matcher(name, **same)) == repr(build_matcher(name))


@pytest.mark.parametrize(
    "name", [name for name, maker in MATCHERS.items() if isinstance(maker, PairMaker)]
)
def test_activation_is_an_option_of_every_cost(name):
    activated = build_matcher(name, activation=True, channels=8, heads=2)
    assert activated.cost.activation.x_from_y.heads == 2
    with pytest.raises(TypeError, match=f"'{name}' has no option value_from"):
        build_matcher(name, activation=False, value_from="self")


def test_softness_has_one_default():
    cost = torch.rand(3, 5)
    assert build_matcher("soft_dtw").aligner == build_matcher("ngm").aligner == SoftDTW()
    assert build_matcher("dastm").aligner == SoftDTW()
    assert torch.equal(soft_dtw(cost), SoftDTW()(cost))
    assert torch.equal(soft_dtw(cost), soft_dtw(cost, SoftDTW.gamma))
    assert torch.equal(soft_alignment(cost), soft_alignment(cost, SoftDTW.gamma))
