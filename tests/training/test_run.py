from __future__ import annotations

import csv
import sys
from dataclasses import replace

import pytest
import torch
from lightning_fabric.loggers import CSVLogger

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.datasets import SkeletonArrays
from pyg_fsar.nn import precision
from pyg_fsar.training import (
    ModelOptions,
    TrainingOptions,
    build_model,
    channels_of,
    evaluate,
    evaluate_one_shot,
    launch,
    load_checkpoint,
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


def test_launch(monkeypatch):
    fabric = launch(TrainingOptions(accelerator="cpu", devices="1"))
    assert (fabric.world_size, fabric.device.type) == (1, "cpu")
    bf16 = TrainingOptions(accelerator="cpu", devices="1", precision="bf16-mixed")
    monkeypatch.setattr(precision, "has_fast_bf16", lambda: True)
    launch(bf16)
    monkeypatch.setattr(precision, "has_fast_bf16", lambda: False)
    with pytest.warns(UserWarning, match="bf16-mixed.*leave the option out") as caught:
        launch(bf16)
    assert len(caught) == 1
    with pytest.raises(ValueError, match="'half' is invalid"):
        launch(TrainingOptions(accelerator="cpu", devices="1", precision="half"))


def test_loggers_and_pictures_are_a_choice(
    fabric, train_data, val_data, model_options, short, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    loggers = [CSVLogger(tmp_path / "elsewhere", name="", version="")]
    data = train_data, val_data, val_data
    run(fabric, *data, short, model_options, tmp_path, loggers=loggers, pictures=False)
    assert {path.name for path in tmp_path.iterdir()} == {"best.ckpt", "last.ckpt", "elsewhere"}
    assert len(rows_of(tmp_path / "elsewhere")) == 2


def test_input_channels_come_from_the_data(fabric, model_options, short, tmp_path):
    """Such as the visibility of MediaPipe beside three coordinates."""
    torch.manual_seed(0)
    clips = [
        SkeletonSequence.from_bodies(torch.randn(1, 8, 25, 4), y=number // 4, skeleton="ntu25")
        for number in range(16)
    ]
    arrays = SkeletonArrays(
        [clip.bodies.numpy() for clip in clips], [int(clip.y) for clip in clips], skeleton="ntu25"
    )
    assert channels_of(arrays) == 4
    result = run(fabric, arrays, arrays, arrays, short, model_options, tmp_path, pictures=False)
    assert result.accuracies.shape == (8,)


def test_finding_the_channels_draws_no_random_numbers(train_data):
    torch.manual_seed(0)
    expected = torch.rand(())
    torch.manual_seed(0)
    assert channels_of(train_data) == 3
    assert torch.rand(()) == expected


def test_goes_on_from_a_model(fabric, train_data, val_data, motions, new_model, short, tmp_path):
    still = replace(short, epochs=1, lr=0.0, weight_decay=0.0)
    start, other = new_model(seed=1), new_model(seed=2)
    result = run(fabric, train_data, val_data, motions(3), still, start, tmp_path, pictures=False)
    for name, weight in new_model(seed=1).named_parameters():
        assert torch.equal(weight, start.get_parameter(name)), name
    protocol = {"runs": 2, "seed": still.eval_seed, "fabric": fabric}
    again = evaluate(start, motions(3), 3, 1, 2, 4, **protocol)
    assert torch.equal(again.losses, result.losses)
    more = replace(still, resume=True)
    with pytest.raises(ValueError, match=r"cannot resume .*it was started with start='"):
        run(fabric, train_data, val_data, motions(3), more, other, tmp_path, pictures=False)
