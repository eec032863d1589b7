from __future__ import annotations

import inspect
import math
from argparse import ArgumentParser
from dataclasses import fields
from unittest.mock import patch

import pytest

from pyg_fsar.matching import MATCHERS, SHOTS
from pyg_fsar.nn import BACKBONES, NORMS, PENALTIES, RANK_METHODS
from pyg_fsar.training import SPATIAL, ModelOptions, TrainingOptions, evaluate

KINDS = [TrainingOptions, ModelOptions]


def parser_of(*kinds, **defaults):
    parser = ArgumentParser()
    for kind in kinds:
        kind.add_arguments(parser, **defaults)
    return parser


# Values that fit together, so that none is without effect.
OTHER_VALUES = {
    TrainingOptions: {
        "optimizer": "sgd", "optimizer_options": ("momentum=0.5", "nesterov=True"),
        "scheduler": "cosine", "resume": True, "precision": "bf16-mixed", "accelerator": "cpu",
        "devices": "2", "clip_norm": 0.25, "learn_temperature": True,
        "mirrored": True, "encoder_lr": 0.25,
    },
    ModelOptions: {
        "backbone": "agcn", "input_norm": "channel", "streams": ("joint", "bone"),
        "matcher": "dastm", "divergence": True, "shots": "average",
        "matcher_options": ("band=3", "scale=2"), "spatial": "full", "norm": "pairnorm",
        "penalty": "rankmax", "activation": True, "rank_method": "fbnm", "gamma": 0.25,
        "drop_edge": 0.25, "norm_scale": 0.25, "dropout": 0.25,
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_an_argument(kind):
    expected, arguments = {}, []
    for item in fields(kind):
        flag = "--lambda" if item.name == "penalty_weight" else f"--{item.name.replace('_', '-')}"
        default = item.default if isinstance(item.default, int | float) else 0
        value = OTHER_VALUES[kind].get(item.name, default + 3)
        expected[item.name] = value
        given = value if isinstance(value, tuple) else (value,)
        arguments += [flag] if value is True else [flag, *map(str, given)]
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
    assert list(protocol) == list(inspect.signature(evaluate).parameters)[2:8]


@pytest.mark.parametrize(
    ("name", "registry"),
    [
        ("backbone", BACKBONES),
        ("matcher", MATCHERS),
        ("rank_method", RANK_METHODS),
        ("shots", SHOTS),
        ("norm", NORMS),
        ("penalty", PENALTIES),
    ],
)
def test_what_is_registered_is_a_choice(name, registry):
    parser, flag = ArgumentParser(), f"--{name.replace('_', '-')}"
    ModelOptions.add_arguments(parser)
    for choice in registry:
        options = ModelOptions.from_arguments(parser.parse_args([flag, choice]))
        assert getattr(options, name) == choice
    with patch.dict(registry, {"mine": next(iter(registry.values()))}):
        assert getattr(ModelOptions(**{name: "mine"}), name) == "mine"


def test_presets_stand_for_options():
    assert ModelOptions().penalty == "rankmax"
    full = ModelOptions(spatial="full")
    assert (full.penalty, full.activation, full.norm, full.drop_edge) == (
        "rankmax",
        True,
        "none",
        0,
    )
    assert ModelOptions(spatial="dropedge", drop_edge=0.3).drop_edge == 0.3
    assert ModelOptions(matcher="dastm").activation is None  # which the matcher does by itself


@pytest.mark.parametrize("spatial", SPATIAL)
def test_a_preset_is_named_after_itself(spatial):
    assert ModelOptions(spatial=spatial).spatial_name == spatial
    assert ModelOptions(**SPATIAL[spatial]).spatial_name == spatial


def test_other_combinations_are_named_after_their_parts():
    assert ModelOptions(matcher="dastm").spatial_name == "full"
    both = ModelOptions(norm="pairnorm", activation=True, penalty="none")
    assert both.spatial_name == "norm pairnorm + activation"


WITHOUT_EFFECT = [
    ({"matcher": "otam", "gamma": 7.0}, "matcher 'otam' has no option gamma; it has .*lam"),
    ({"matcher": "protonet", "matcher_options": ("band=3",)}, "'protonet' has no option band"),
    ({"matcher": "koopman", "activation": True}, "'koopman' has no option activation"),
    ({"backbone": "lstm", "blocks": 4}, "backbone 'lstm' has no option blocks"),
    ({"backbone": "lstm", "kernel_size": 3}, "backbone 'lstm' has no option kernel_size"),
    ({"shots": "mean", "matcher_options": ("shots=average",)}, "option shots is given twice"),
    ({"norm_scale": 2.0}, "norm_scale has no effect without a norm"),
    ({"penalty": "none", "rank_method": "fbnm"}, "rank_method has no effect without penalty="),
]


@pytest.mark.parametrize(("options", "message"), WITHOUT_EFFECT)
def test_options_without_effect_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ModelOptions(**options)
    arguments = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        arguments += (
            [flag]
            if value is True
            else [flag, str(*value if isinstance(value, tuple) else (value,))]
        )
    with pytest.raises(ValueError, match=message):
        ModelOptions.from_arguments(parser_of(ModelOptions).parse_args(arguments))


def test_an_optimizer_has_options_of_its_own():
    assert TrainingOptions(optimizer="sgd", optimizer_options=("momentum=0.9",)).optimizer == "sgd"
    with pytest.raises(ValueError, match="optimizer 'adam' has no option momentum; it has amsgrad"):
        TrainingOptions(optimizer_options=("momentum=0.9",))
    with pytest.raises(ValueError, match="form name=value, got 'momentum'"):
        TrainingOptions(optimizer="sgd", optimizer_options=("momentum",))
    with pytest.raises(ValueError, match="momentum is given twice"):
        TrainingOptions(optimizer="sgd", optimizer_options=("momentum=0", "momentum=1"))


def test_preferences_of_a_script_count_where_they_have_an_effect():
    parser = ArgumentParser()
    ModelOptions.add_arguments(parser, blocks=2, kernel_size=3, input_norm="channel")
    plain = ModelOptions.from_arguments(parser.parse_args([]))
    assert (plain.blocks, plain.kernel_size, plain.input_norm) == (2, 3, "channel")
    lstm = ModelOptions.from_arguments(parser.parse_args(["--backbone", "lstm"]))
    assert (lstm.blocks, lstm.kernel_size, lstm.input_norm) == (None, None, "channel")
    given = ModelOptions.from_arguments(parser.parse_args(["--blocks", "4"]))
    assert (given.blocks, given.kernel_size) == (4, 3)
    text = " ".join(parser.format_help().split())
    assert "(default: 2, if it applies)" in text
    with pytest.raises(TypeError, match="ModelOptions has no field block"):
        ModelOptions.add_arguments(ArgumentParser(), block=2)


def test_options_without_effect_in_a_script_can_be_left_out():
    parser = parser_of(TrainingOptions, but=("test_runs",), epochs=7)
    options = TrainingOptions.from_arguments(parser.parse_args([]))
    assert (options.test_runs, options.epochs) == (TrainingOptions.test_runs, 7)
    with pytest.raises(SystemExit):
        parser.parse_args(["--test-runs", "3"])
    with pytest.raises(TypeError, match="TrainingOptions has no field test_run"):
        parser_of(TrainingOptions, but=("test_run",))


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
            note = "" if default in (None, ()) else f" (default: {default})"
            assert f"{item.metadata['help']}{note}" in text


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"episodic": 0.0}, "nothing is trained without a loss"),
        ({"temperature": 0.2}, "no effect without classification or contrast"),
        ({"learn_temperature": True}, "no effect without classification or contrast"),
        ({"mirrored": True}, "no effect without classification or contrast"),
        ({"warmup": 2}, "warmup goes with the schedulers cosine and none"),
        ({"warmup": 5, "epochs": 5, "scheduler": "cosine"}, "leaves none of 5 epochs"),
        ({"contrast": -1.0}, "contrast must be at least 0"),
    ],
)
def test_losses_and_rates_that_contradict(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainingOptions(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": "fast"}, "lr must be a number, got 'fast'"),
        ({"epochs": 2.5}, "epochs must be a whole number, got 2.5"),
        ({"clip_norm": True}, "clip_norm must be a number, got True"),
    ],
)
def test_what_is_no_number_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainingOptions(**changes)


def test_one_of_several_needs_no_tuple():
    assert ModelOptions(streams="bone") == ModelOptions(streams=("bone",))
    assert ModelOptions(matcher_options=["band=5"]) == ModelOptions(matcher_options="band=5")
