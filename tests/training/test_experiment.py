from __future__ import annotations

import csv
import sys
from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
from torch import nn

from pyg_fsar import FewShotModel
from pyg_fsar.datasets import FakeSkeletonDataset
from pyg_fsar.matching import MATCHERS, ActivatedCost, CosineCost, build_matcher, soft_dtw
from pyg_fsar.nn import BACKBONES, PairNorm, RankMax
from pyg_fsar.training import (
    EvaluationResult,
    ModelOptions,
    TrainingOptions,
    build_encoder,
    build_model,
    clip_transform,
    draw_pictures,
    evaluate,
    evaluate_one_shot,
    format_table,
    launch,
    load_checkpoint,
    result_row,
    run,
)

PICTURES = {"joint_similarity.png", "alignment.png"}


@pytest.fixture
def model_options():
    return ModelOptions(blocks=2, kernel_size=3, gamma=0.1, rank_method="fbnm")


@pytest.fixture
def short(options):
    return options(epochs=2, train_episodes=2, test_episodes=4, test_runs=2)


def rows_of(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_run(fabric, train_data, val_data, motions, model_options, short, tmp_path):
    test_data = motions(3)
    result = run(fabric, train_data, val_data, test_data, short, model_options, tmp_path)
    assert result.accuracies.shape == (8,)
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"metrics.csv", "tensorboard", "best.ckpt", "last.ckpt", *PICTURES}
    for name in PICTURES:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert [row["epoch"] for row in rows_of(tmp_path)] == ["0", "1"]
    assert 0 <= float(rows_of(tmp_path)[1]["val_accuracy"]) <= 1

    # What was tested is the best epoch, on episodes that the evaluation seed decides.
    best = build_model(model_options, "ntu25")
    load_checkpoint(fabric, tmp_path / "best.ckpt", {"model": best})
    again = evaluate(best, test_data, 3, 1, 2, 4, runs=2, seed=short.eval_seed, fabric=fabric)
    assert torch.equal(again.losses, result.losses)
    assert torch.equal(again.accuracies, result.accuracies)


def test_weights_come_from_the_seed(
    fabric, train_data, val_data, motions, model_options, short, tmp_path
):
    still = replace(short, epochs=1, lr=0.0, weight_decay=0.0)
    losses = []
    for number, seed in enumerate((1, 1, 2)):
        torch.manual_seed(number)
        options, folder = replace(still, seed=seed), tmp_path / str(number)
        losses.append(run(fabric, train_data, val_data, motions(3), options, model_options, folder))
    first, second, third = (result.losses for result in losses)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_resumed_run_logs_every_epoch_once(
    fabric, train_data, val_data, motions, model_options, short, tmp_path, recwarn
):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    data = train_data, val_data, motions(3)
    result = run(fabric, *data, replace(short, epochs=3), model_options, whole)
    run(fabric, *data, short, model_options, broken)
    resumed = replace(short, epochs=3, resume=True)
    assert torch.equal(run(fabric, *data, resumed, model_options, broken).losses, result.losses)
    assert not [w for w in recwarn if "Experiment logs directory" in str(w.message)]
    ours, theirs = rows_of(broken), rows_of(whole)
    for row in ours + theirs:
        del row["seconds"]
    assert ours == theirs

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(broken / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("val_accuracy")] == [0, 1, 2]


def test_resuming_with_other_settings(fabric, train_data, val_data, model_options, short, tmp_path):
    data = train_data, val_data, val_data
    run(fabric, *data, short, model_options, tmp_path, settings={"subset": "T"})
    before = (tmp_path / "metrics.csv").read_bytes()
    with pytest.raises(FileExistsError, match="--resume"):
        run(fabric, *data, short, model_options, tmp_path, settings={"subset": "T"})
    more = replace(short, epochs=3, resume=True)
    with pytest.raises(ValueError, match="started with subset='T', but now there is subset='S'"):
        run(fabric, *data, more, model_options, tmp_path, settings={"subset": "S"})
    with pytest.raises(ValueError, match=r"started with gamma=0\.1, .* gamma=0\.2"):
        wrong = replace(model_options, gamma=0.2)
        run(fabric, *data, more, wrong, tmp_path, settings={"subset": "T"})
    with pytest.raises(ValueError, match="started with blocks=2, but now there is blocks=4"):
        wrong = replace(model_options, blocks=4)
        run(fabric, *data, more, wrong, tmp_path, settings={"subset": "T"})
    # Nothing of the earlier run is lost by any of these.
    assert (tmp_path / "metrics.csv").read_bytes() == before


def test_one_shot(fabric, train_data, val_data, motions, model_options, short, tmp_path):
    exemplars = [0, 6, 12, 18]
    result = run(
        fabric, train_data, val_data, motions(3), short, model_options, tmp_path, exemplars
    )
    assert result.accuracies.shape == (20,)
    best = build_model(model_options, "ntu25")
    load_checkpoint(fabric, tmp_path / "best.ckpt", {"model": best})
    again = evaluate_one_shot(best, motions(3), exemplars, fabric=fabric)
    assert torch.equal(again.losses, result.losses)


def test_missing_matplotlib_is_noticed_before_training(
    fabric, train_data, val_data, model_options, short, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install pyg-fsar\[examples\]"):
        run(fabric, train_data, val_data, val_data, short, model_options, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# models and transforms


def test_build_model():
    options = ModelOptions(blocks=4, gamma=0.5, shots="average", divergence=True)
    model = build_model(options, "kinect20", 2)
    assert (model.encoder.skeleton.name, model.encoder.in_channels) == ("kinect20", 2)
    assert len(model.encoder.blocks) == 4
    assert (model.matcher.shots, model.matcher.divergence) == ("average", True)
    assert "gamma=0.5" in repr(model.matcher)
    assert isinstance(model.penalty, RankMax)
    assert model.penalty.method == "nuclear"


SPATIAL = ["none", "pairnorm", "dropedge", "rankmax", "activation", "full"]


@pytest.mark.parametrize("backbone", ["stgcn", "agcn", "ctrgcn", "stgcnpp"])
@pytest.mark.parametrize("spatial", SPATIAL)
def test_spatial_strategies(spatial, backbone):
    options = ModelOptions(
        backbone=backbone, blocks=2, spatial=spatial, scale=2.0, drop_rate=0.3, dropout=0.25
    )
    model = build_model(options, "ntu25")
    assert (model.penalty is not None) == (spatial in ("rankmax", "full"))
    assert isinstance(model.matcher.cost, ActivatedCost) == (spatial in ("activation", "full"))
    scales = [part.scale for part in model.encoder.modules() if isinstance(part, PairNorm)]
    assert scales == ([2.0, 2.0] if spatial == "pairnorm" else [])
    assert model.encoder.drop_edge.p == (0.3 if spatial == "dropedge" else 0.0)
    assert {part.p for part in model.encoder.blocks.modules() if type(part) is nn.Dropout} == {0.25}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_backbones(backbone):
    torch.manual_seed(0)
    options = ModelOptions(backbone=backbone, blocks=2, spatial="pairnorm")
    encoder = build_encoder(options, "kinect20", 2)
    assert encoder.skeleton.name == "kinect20"
    assert encoder(torch.randn(1, 8, 20, 2)).shape[2:] == (20, encoder.out_channels)
    assert any(isinstance(part, PairNorm) for part in encoder.modules())


def test_kernel_size_is_the_published_one_if_not_given():
    sizes = {
        backbone: largest_kernel(build_encoder(ModelOptions(backbone, blocks=2), "ntu25"))
        for backbone in ("stgcn", "ctrgcn", "stgcnpp")
    }
    assert sizes == {"stgcn": 9, "ctrgcn": 5, "stgcnpp": 3}
    given = ModelOptions("ctrgcn", blocks=2, kernel_size=7)
    assert largest_kernel(build_encoder(given, "ntu25")) == 7


def largest_kernel(encoder):
    return max(part.kernel_size[0] for part in encoder.modules() if isinstance(part, nn.Conv2d))


def test_registered_pieces_get_what_they_take():
    seen = {}

    def encoder(skeleton, in_channels, kernel_size, dropout):
        seen.update(skeleton=skeleton, kernel_size=kernel_size, dropout=dropout)
        return BACKBONES["lstm"](skeleton, in_channels)

    def aligner(cost, lengths=None, gamma=None):
        seen.update(gamma=gamma)
        return soft_dtw(cost, gamma)

    options = {"kernel_size": 7, "dropout": 0.3, "gamma": 0.7}
    with (
        patch.dict(BACKBONES, {"mine": encoder}),
        patch.dict(MATCHERS, {"mine": (CosineCost, aligner)}),
    ):
        model = build_model(ModelOptions("mine", matcher="mine", **options), "coco17", 2)
    model(torch.randn(4, 8, 17, 2), torch.arange(4), torch.arange(2), 4, 2)
    assert seen == {"skeleton": "coco17", **options}


def test_dastm_is_soft_dtw_with_all_there_is():
    models = []
    for matcher in ("dastm", "soft_dtw"):
        torch.manual_seed(0)
        options = ModelOptions(
            blocks=2, matcher=matcher, spatial="full", gamma=0.3, rank_method="logdet"
        )
        models.append(build_model(options, "coco17"))
    assert repr(models[0]) == repr(models[1])
    inputs = torch.randn(4, 8, 17, 3), torch.arange(4), torch.arange(2), 4, 2
    outputs = []
    for model in models:
        torch.manual_seed(0)
        outputs.append(model(*inputs))
    assert all(map(torch.equal, *outputs))


@pytest.mark.parametrize("matcher", [name for name in MATCHERS if name != "dastm"])
@pytest.mark.parametrize("spatial", ["activation", "full"])
def test_activation_with_any_matcher(matcher, spatial):
    torch.manual_seed(0)
    options = ModelOptions(blocks=2, spatial=spatial, matcher=matcher)
    model = build_model(options, "kinect20")
    x = torch.randn(4, 8, 20, 3)
    logits, penalty = model(x, torch.arange(4), torch.arange(2), 4, 2)
    (logits.sum() + penalty).backward()
    assert logits.shape == (2, 2)
    assert all(weight.grad is not None for weight in model.matcher.parameters())
    # Activated clips are compared as the method compares clips.
    assert type(model.matcher.cost) is ActivatedCost
    assert type(model.matcher.cost.cost) is MATCHERS[matcher][0]


@pytest.mark.parametrize("matcher", ["cosine", "dtw", "soft_dtw", "otam", "bimhm"])
def test_activation_of_the_cosine_is_that_of_its_own(matcher):
    torch.manual_seed(0)
    options = ModelOptions(blocks=2, spatial="activation", matcher=matcher)
    model = build_model(options, "kinect20").eval()
    names = set(model.matcher.state_dict())
    assert names == {f"cost.{name}" for name in ActivatedCost(16).state_dict()}
    x, y = torch.randn(2, 4, 20, model.encoder.out_channels).split(1)
    activated = ActivatedCost(x.size(-1)).eval()
    activated.load_state_dict(model.matcher.cost.state_dict())
    assert torch.equal(model.matcher.cost(x, y), activated(x, y))


@pytest.mark.parametrize("matcher", ["soft_dtw", "ngm"])
def test_gamma(matcher):
    options = ModelOptions(blocks=2, matcher=matcher, gamma=0.37)
    assert "gamma=0.37" in repr(build_model(options, "ntu25").matcher)


@pytest.mark.parametrize("matcher", ["protonet", "cosine", "dtw", "otam", "bimhm"])
def test_other_matchers_have_no_gamma(matcher):
    assert "gamma" not in repr(build_model(ModelOptions(blocks=2, matcher=matcher), "ntu25"))


def test_unknown_model():
    with pytest.raises(ValueError, match=r"matcher must be one of .*'protonet'.* got 'best'"):
        ModelOptions(matcher="best")
    with pytest.raises(ValueError, match=r"backbone must be one of .*'stgcn'.* got 'best'"):
        ModelOptions(backbone="best")
    with pytest.raises(ValueError, match=r"num_blocks must be one of .*10, got 5"):
        build_model(ModelOptions(blocks=5), "ntu25")


@pytest.mark.parametrize("motion_only", [False, True])
def test_clip_transform(motion_only):
    clip = FakeSkeletonDataset(num_classes=4, clips_per_class=1, lost_joints=0)[0]
    prepare = clip_transform(12, train=False, motion_only=motion_only)
    prepared = prepare(clip)
    assert prepared.bodies.shape == (1, 12, 25, 3)
    # Place and size of the body do not matter, nor do its distance and the direction it faces.
    angle = torch.tensor(0.7)
    turn = torch.tensor([[angle.cos(), 0, angle.sin()], [0, 1, 0], [-angle.sin(), 0, angle.cos()]])
    elsewhere = clip.with_bodies(1.3 * clip.bodies @ turn.T + torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(prepare(elsewhere).bodies, prepared.bodies, rtol=1e-3, atol=1e-3)

    augment = clip_transform(12, train=True, motion_only=motion_only)
    assert augment(clip).bodies.shape == prepared.bodies.shape
    assert not torch.equal(augment(clip).bodies, augment(clip).bodies)
    assert torch.equal(prepare(clip).bodies, prepared.bodies)


def test_launch():
    fabric = launch(TrainingOptions(accelerator="cpu", devices="1", precision="bf16-mixed"))
    assert (fabric.world_size, fabric.device.type) == (1, "cpu")
    with pytest.raises(ValueError, match="'half' is invalid"):
        launch(TrainingOptions(accelerator="cpu", devices="1", precision="half"))


# tables and pictures


def test_table():
    rows = [{"method": "DTW", "a": 1}, {"method": "soft-DTW", "b": "x"}]
    assert format_table(rows).splitlines() == [
        "| method   | a | b |",
        "| -------- | - | - |",
        "| DTW      | 1 |   |",
        "| soft-DTW |   | x |",
    ]


def test_result_row():
    result = EvaluationResult(torch.tensor([0.5, 0.75, 0.25, 0.5]), torch.zeros(4), 12.345)
    assert result_row("ours", result) == {
        "method": "ours",
        "accuracy (%)": "50.00",
        "95 % interval": "± 20.00",
        "episodes": "4",
        "seconds": "12.3",
    }
    assert result_row("ours", result, unit="queries")["queries"] == "4"


@pytest.mark.parametrize("matcher", ["protonet", "soft_dtw", "otam", "bimhm"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_pictures_of_any_model(motions, new_model, options, tmp_path, matcher, dtype):
    draw_pictures(new_model(matcher=matcher).to(dtype), motions(), options(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == PICTURES


def test_pictures_of_ragged_clips_without_weights(motions, options, tmp_path, monkeypatch):
    """Padding does not show."""
    from pyg_fsar import visualization

    drawn = []
    plot = visualization.plot_alignment

    def recording(cost, weights, query, support, **options):
        drawn.append((cost, weights, query, support))
        return plot(cost, weights, query, support, **options)

    monkeypatch.setattr(visualization, "plot_alignment", recording)
    model = FewShotModel(nn.Identity(), build_matcher("dtw"))
    for seed in range(3):
        draw_pictures(model, motions(ragged=True), options(eval_seed=seed), tmp_path)
    assert len({cost.shape for cost, *_ in drawn}) > 1
    for cost, weights, query, support in drawn:
        assert cost.shape == weights.shape == (query.num_frames, support.num_frames)
        assert query.y == support.y
        assert not torch.equal(query.x, support.x)
