from __future__ import annotations

import inspect
import math
from argparse import ArgumentParser
from dataclasses import fields
from typing import get_args, get_type_hints
from unittest.mock import patch

import pytest

from pyg_fsar.matching import MATCHERS
from pyg_fsar.nn import BACKBONES, RANK_METHODS
from pyg_fsar.training import ModelOptions, TrainingOptions, evaluate

KINDS = [TrainingOptions, ModelOptions]


def parser_of(*kinds, **defaults):
    parser = ArgumentParser()
    for kind in kinds:
        kind.add_arguments(parser, **defaults)
    return parser


def other_value(kind, item):
    """A value of a field that is not its default, and the arguments that give it."""
    flag = "--lambda" if item.name == "penalty_weight" else f"--{item.name.replace('_', '-')}"
    if item.metadata["choices"]:
        value = next(choice for choice in item.metadata["choices"] if choice != item.default)
    else:
        hint = get_type_hints(kind)[item.name]
        if hint is bool:
            return not item.default, [flag if item.default is False else f"--no-{flag[2:]}"]
        kind = next((kind for kind in get_args(hint) if kind is not type(None)), hint)
        value = {int: 3, float: 0.25, str: "two"}[kind]
    assert value != item.default
    return value, [flag, str(value)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_an_argument(kind):
    expected, arguments = {}, []
    for item in fields(kind):
        expected[item.name], given = other_value(kind, item)
        arguments += given
    # Other arguments in the same namespace do not disturb.
    options = kind.from_arguments(parser_of(*KINDS).parse_args(arguments))
    assert {item.name: getattr(options, item.name) for item in fields(kind)} == expected
    assert kind.from_arguments(parser_of(*KINDS).parse_args([])) == kind()


def test_published_defaults():
    training = TrainingOptions()
    assert (training.n_way, training.k_shot, training.n_query) == (5, 1, 10)
    assert (training.epochs, training.train_episodes, training.val_episodes) == (100, 1000, 500)
    assert (training.test_runs, training.test_episodes, training.seed) == (10, 500, 2022)
    assert (training.lr, training.weight_decay, training.penalty_weight) == (1e-3, 5e-4, 0.1)


def test_test_protocol():
    options = TrainingOptions(
        n_way=3, k_shot=2, n_query=4, test_episodes=7, test_runs=6, val_episodes=9, eval_seed=8
    )
    protocol = options.test_protocol()
    assert list(protocol.values()) == [3, 2, 4, 7, 6, 8]
    assert list(protocol) == list(inspect.signature(evaluate).parameters)[3:9]


@pytest.mark.parametrize(
    ("name", "registry"),
    [("backbone", BACKBONES), ("matcher", MATCHERS), ("rank_method", RANK_METHODS)],
)
def test_what_is_registered_is_a_choice(name, registry):
    parser, flag = ArgumentParser(), f"--{name.replace('_', '-')}"
    ModelOptions.add_arguments(parser)
    for choice in registry:
        options = ModelOptions.from_arguments(parser.parse_args([flag, choice]))
        assert getattr(options, name) == choice
    with patch.dict(registry, {"mine": registry[getattr(ModelOptions, name)]}):
        assert getattr(ModelOptions(**{name: "mine"}), name) == "mine"
        assert getattr(parser.parse_args([flag, "mine"]), name) == "mine"


@pytest.mark.parametrize("spatial", ["none", "rankmax", "activation", "pairnorm"])
def test_dastm_is_the_whole_method(spatial):
    with pytest.raises(ValueError, match=f"got spatial '{spatial}'; give spatial 'full', or match"):
        ModelOptions(matcher="dastm", spatial=spatial)


def test_spatial_follows_from_the_matcher_if_not_given():
    assert ModelOptions().spatial == "rankmax"
    assert ModelOptions() == ModelOptions(spatial="rankmax")  # as earlier runs have written it
    assert ModelOptions(matcher="dastm").spatial == "full"
    parser = parser_of(ModelOptions)
    for arguments, spatial in ([], "rankmax"), (["--matcher", "dastm"], "full"):
        assert ModelOptions.from_arguments(parser.parse_args(arguments)).spatial == spatial


def test_defaults_of_a_script():
    parser = parser_of(TrainingOptions, epochs=7, clip_norm=2.0)
    options = TrainingOptions.from_arguments(parser.parse_args([]))
    assert (options.epochs, options.clip_norm, options.lr) == (7, 2.0, 1e-3)
    assert TrainingOptions.from_arguments(parser.parse_args(["--epochs", "9"])).epochs == 9
    with pytest.raises(TypeError, match="TrainingOptions has no field epoch"):
        parser_of(TrainingOptions, epoch=7)


def test_switches_and_flags():
    parser = parser_of(TrainingOptions, resume=True)
    assert TrainingOptions.from_arguments(parser.parse_args([])).resume
    assert not TrainingOptions.from_arguments(parser.parse_args(["--no-resume"])).resume
    assert TrainingOptions.from_arguments(parser.parse_args(["--lambda", "0"])).penalty_weight == 0
    with pytest.raises(SystemExit):
        parser.parse_args(["--rank-weight", "0"])


def test_help_tells_defaults():
    parser = ArgumentParser()
    TrainingOptions.add_arguments(parser, epochs=7)
    ModelOptions.add_arguments(parser)
    text = " ".join(parser.format_help().split())
    for kind in KINDS:
        for item in fields(kind):
            default = 7 if item.name == "epochs" else item.default
            assert f"{item.metadata['help']} (default: {default})" in text


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        (TrainingOptions, {"n_way": 1}, "n_way must be at least 2, got 1"),
        (TrainingOptions, {"k_shot": 0}, "k_shot must be at least 1, got 0"),
        (TrainingOptions, {"accumulate": 0}, "accumulate must be at least 1"),
        (TrainingOptions, {"patience": -1}, "patience must be at least 0, got -1"),
        (TrainingOptions, {"seed": -1}, "seed must be at least 0, got -1"),
        (TrainingOptions, {"eval_seed": -1}, "eval_seed must be at least 0, got -1"),
        (TrainingOptions, {"lr": -1e-3}, "lr must be at least 0"),
        (TrainingOptions, {"lr": math.nan}, "lr must be at least 0, got nan"),
        (TrainingOptions, {"clip_norm": -1.0}, "clip_norm must be at least 0"),
        (TrainingOptions, {"scheduler": "step"}, "scheduler must be one of .*cosine.*'step'"),
        (ModelOptions, {"shots": "max"}, "shots must be one of .*average.*'max'"),
        (ModelOptions, {"spatial": "norm"}, "spatial must be one of .*pairnorm.*'norm'"),
        (ModelOptions, {"rank_method": "svd"}, "rank_method must be one of .*nuclear.*'svd'"),
        (ModelOptions, {"gamma": -0.1}, "gamma must be above 0 and finite, got -0.1"),
        (ModelOptions, {"gamma": 0.0}, "gamma must be above 0 and finite, got 0.0"),
        (ModelOptions, {"gamma": math.inf}, "gamma must be above 0 and finite, got inf"),
        (ModelOptions, {"gamma": math.nan}, "gamma must be above 0 and finite, got nan"),
    ],
)
def test_out_of_range(kind, wrong, message):
    with pytest.raises(ValueError, match=message):
        kind(**wrong)


def test_out_of_range_on_the_command_line(capsys):
    parser = parser_of(*KINDS)
    with pytest.raises(ValueError, match="n_way must be at least 2"):
        TrainingOptions.from_arguments(parser.parse_args(["--n-way", "1"]))
    for arguments in (["--scheduler", "step"], ["--epochs", "many"]):
        with pytest.raises(SystemExit):
            parser.parse_args(arguments)
        assert arguments[1] in capsys.readouterr().err
