from __future__ import annotations

from functools import partial

import pytest
import torch

from pyg_fsar.matching import (
    DistanceMatcher,
    EuclideanCost,
    KoopmanMatcher,
    build_matcher,
    matcher_options,
)
from pyg_fsar.matching.options import keywords
from pyg_fsar.training import ModelOptions, build_model


def test_keywords_are_what_can_be_given_by_name():
    def function(a, *rest, b=1, c="x", **more):
        """A function with every kind of argument."""

    assert keywords(function, "c").keys() == {"a", "b"}
    assert keywords(partial(function, 0), "a")["b"] == 1


@pytest.mark.parametrize("value", ["no", "False", 0, 1, None])
@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("dtw", "divergence"),
        ("dtw", "learn_scale"),
        ("motion", "learn_scale"),
        ("dastm", "as_released"),
        ("protonet", "squared"),
    ],
)
def test_a_flag_is_true_or_false(name, option, value):
    with pytest.raises(TypeError, match=f"{option} must be True or False, got {value!r}"):
        build_matcher(name, **{option: value})


def test_a_flag_of_the_command_line_is_true_or_false():
    options = ModelOptions(blocks=2, matcher="dtw", matcher_options=("divergence=no",))
    with pytest.raises(TypeError, match="divergence must be True or False, got 'no'"):
        build_model(options, "coco17")
    with pytest.raises(TypeError, match="activation must be True or False, got 'no'"):
        ModelOptions(blocks=2, matcher="dtw", matcher_options=("activation=no",))


def test_options_that_need_another():
    assert "channels" not in matcher_options("koopman")
    assert "channels" in matcher_options("koopman", project=4)
    with pytest.raises(TypeError, match="'koopman' has no option channels; it has"):
        build_matcher("koopman", channels=8)
    with pytest.raises(ValueError, match="channels has no effect without project="):
        KoopmanMatcher(channels=8)
    for options in ({"mirror_factor": 1.5}, {"mirror_gap": 0.1}):
        with pytest.raises(ValueError, match="have no effect without a skeleton to mirror by"):
            build_matcher("motion", **options)


def test_scripts_give_channels_where_they_have_an_effect():
    options = ModelOptions(blocks=2, matcher="koopman", matcher_options=("project=4",))
    model = build_model(options, "coco17")
    assert model.matcher.project.in_features == model.encoder.out_channels
    assert build_model(ModelOptions(blocks=2, matcher="koopman"), "coco17").matcher.project is None


@pytest.mark.parametrize("name", ["dtw", "dastm", "ngm", "udtw", "mixture", "koopman", "motion"])
def test_no_queries_have_no_logits(name):
    sized = {"channels": 4} if "channels" in matcher_options(name) else {}
    support, y = torch.randn(4, 5, 3, 4), torch.tensor([0, 0, 1, 1])
    logits = build_matcher(name, **sized)(support, y, support[:0])
    assert logits.shape == (0, 2)


def test_flags_of_classes():
    with pytest.raises(TypeError, match="squared must be True or False"):
        EuclideanCost(squared="no")
    with pytest.raises(TypeError, match="learn_scale must be True or False"):
        DistanceMatcher(learn_scale="no")
