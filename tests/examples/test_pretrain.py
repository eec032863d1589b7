"""`examples/pretrain.py`, run as users run it, with tiny settings."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from pyg_fsar import FewShotClassifier
from pyg_fsar.weights import load_model

SCRIPT = Path(__file__).parents[2] / "examples" / "pretrain.py"
TINY = "--accelerator cpu --width 16 --generated 10 --epochs 2 --train-episodes 2 --n-way 6"
TINY = f"{TINY} --eval-n-way 3 --val-episodes 3 --test-episodes 5 --val-fraction 0.3".split()


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("pretrain", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def one_thread():
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.mark.slow
def test_leaves_a_model_with_its_preparation_and_goes_on(script, tmp_path, capsys) -> None:
    options = [*TINY, "--out", str(tmp_path)]
    script.main([*options, "--epochs", "2"])
    assert "training on 7 classes, " in capsys.readouterr().out
    model, transform = load_model(tmp_path / "model")
    assert model.encoder.input.out_features == 16
    clips = script.FakeSkeletonDataset("ntu25", num_classes=4, clips_per_class=3, split="all")
    classifier = FewShotClassifier(tmp_path / "model").fit(list(clips), clips.labels)
    assert classifier.score(list(clips), clips.labels) == 1
    rows = (tmp_path / "metrics.csv").read_text()
    script.main([*options, "--resume"])  # nothing is left to do
    assert (tmp_path / "metrics.csv").read_text() == rows
    again = load_model(tmp_path / "model")[0]
    for name, weight in model.named_parameters():
        assert torch.equal(weight, again.get_parameter(name)), name
    assert repr(transform) == repr(load_model(tmp_path / "model")[1])


@pytest.mark.slow
def test_one_data_set_is_left_out(script, tmp_path, capsys, monkeypatch) -> None:
    def other(root, split, processed_dir):
        return script.FakeSkeletonDataset("ntu25", 8, clips_per_class=8, split=split, seed=5)

    monkeypatch.setitem(script.SOURCES, "utd", other)
    script.main([
        *TINY, "--utd", "there", "--leave-out", "utd", "--shots", "1", "--out", str(tmp_path),
    ])  # fmt: skip
    text = capsys.readouterr().out
    assert "clips of generated; validation" in text
    table = (tmp_path / "results.md").read_text()
    assert table.strip() in text
    rows = [line for line in table.splitlines() if line.startswith("| 1")]
    methods = ["cosine DTW", "untrained", "trained", "untrained, 2D", "trained, 2D"]
    assert [row.split("|")[2].strip() for row in rows] == methods
    assert rows[0].split("|")[4].strip() == "+0.00 ± 0.00"
    assert rows[1].split("|")[5].strip() == "+0.00 ± 0.00"


def test_training_and_validation_share_no_class(script) -> None:
    options = script.parse(TINY)
    data = script.load(options)
    train, val = script.split(data, options)
    names = set(train.class_names)
    assert len(names) == 7 and len(val.class_names) == 3
    assert not names.intersection(val.class_names)
    assert {name.split(":")[0] for name in names} == {"generated"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--leave-out", "hdm05"], "--leave-out hdm05 needs its folder"),
        (["--leave-out", "generated", "--generated", "0"], "--leave-out generated needs them"),
        (["--shots", "1", "0"], "--shots must be at least 1, got 0"),
        (["--val-fraction", "1"], "must lie between 0 and 1, got 1.0"),
    ],
)
def test_wrong_arguments(script, capsys, arguments, message) -> None:
    with pytest.raises(SystemExit):
        script.parse(arguments)
    assert message in capsys.readouterr().err


def test_nothing_to_train_on(script) -> None:
    with pytest.raises(ValueError, match="nothing is left to train on"):
        script.main([*TINY, "--leave-out", "generated"])


def test_too_few_classes_for_validation(script, tmp_path) -> None:
    options = [*TINY, "--val-fraction", "0.1", "--eval-n-way", "5", "--out", str(tmp_path)]
    with pytest.raises(ValueError, match=r"keeps 2 classes, fewer than --eval-n-way 5"):
        script.main(options)
