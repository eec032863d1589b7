"""The example scripts, run as users run them, with tiny settings."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pyg_fsar import FewShotModel
from pyg_fsar.datasets import write_ntu_skeleton
from pyg_fsar.matching import MotionMatcher
from pyg_fsar.nn import MotionEncoder
from pyg_fsar.training import ModelOptions
from pyg_fsar.transforms import motion_transform
from pyg_fsar.weights import save_model

EXAMPLES = Path(__file__).parents[2] / "examples"
TINY = "--accelerator cpu --blocks 2 --kernel-size 3 --num-frames 8 --n-query 2 --val-episodes 4"
TINY = f"{TINY} --test-episodes 5 --rank-method fbnm".split()
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(autouse=True)
def one_thread():
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture
def ntu(load_example):
    return load_example("ntu_fewshot")


@pytest.fixture
def utd(load_example):
    return load_example("utd_fewshot")


@pytest.fixture
def table_of(rows_of):
    """Reads the rows of the table of results in a folder."""
    return lambda folder: rows_of((folder / "results.md").read_text())


def metrics_of(folder):
    with (folder / "metrics.csv").open() as file:
        return [{**row, "seconds": None} for row in csv.DictReader(file)]


@pytest.fixture
def without_seconds(table_of):
    return lambda folder: [{**row, "seconds": None} for row in table_of(folder)]


def weights_of(folder):
    return torch.load(folder / "last.ckpt", weights_only=True)["model"]


def test_ntu_from_end_to_end(ntu, tmp_path, capsys, table_of):
    out = tmp_path / "deep" / "out"
    short = ["--epochs", "2", "--train-episodes", "2", "--test-runs", "2"]
    ntu.main([*TINY, *short, "--out", str(out)])
    files = {path.name for path in out.iterdir()}
    assert files >= {"metrics.csv", "best.ckpt", "results.md"}
    assert files >= {"joint_similarity.png", "alignment.png"}
    (row,) = table_of(out)
    assert list(row) == ["method", "accuracy (%)", "95 % interval", "episodes", "seconds"]
    assert row["method"] == "stgcn, soft_dtw, rankmax, 5-way 1-shot, GENERATED motions"
    assert 0 <= float(row["accuracy (%)"]) <= 100
    assert re.fullmatch(r"± \d+\.\d\d", row["95 % interval"])
    assert row["episodes"] == "10"
    assert float(row["seconds"]) > 0
    assert len(metrics_of(out)) == 2
    printed = capsys.readouterr().out
    assert (out / "results.md").read_text() in printed
    assert "GENERATED motions: 200 training, 100 validation, 100 test clips" in printed


def test_killed_run_resumes_to_the_same_result(ntu, tmp_path, without_seconds):
    run = [*TINY, "--epochs", "3", "--train-episodes", "20", "--test-runs", "1"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(
        [sys.executable, EXAMPLES / "ntu_fewshot.py", *run, "--out", killed],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    seen = b""
    while b"epoch 1:" not in seen:  # the progress bar of the second epoch
        read = os.read(process.stderr.fileno(), 4096)
        assert read, f"the run ended by itself: {seen.decode()}"
        seen += read
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
    process.stderr.close()
    assert len(metrics_of(killed)) == 1

    with pytest.raises(FileExistsError, match="--resume"):
        ntu.main([*run, "--out", str(killed)])
    ntu.main([*run, "--out", str(killed), "--resume"])
    ntu.main([*run, "--out", str(whole)])
    assert metrics_of(killed) == metrics_of(whole)
    assert [row["epoch"] for row in metrics_of(killed)] == ["0", "1", "2"]
    assert without_seconds(killed) == without_seconds(whole)
    ours, theirs = weights_of(killed), weights_of(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_several_devices(ntu, tmp_path, without_seconds):
    """Two processes by either way, then one, test the same weights on the same episodes."""
    out = str(tmp_path)
    script = [EXAMPLES / "ntu_fewshot.py", *TINY, "--out", out]
    script += ["--epochs", "1", "--train-episodes", "2", "--test-runs", "1"]
    fabric_run = ["-c", "from lightning_fabric.cli import _main; _main()", "run"]
    commands = [
        [*script, "--devices", "2"],
        [*fabric_run, "--devices", "2", "--accelerator", "cpu", *script, "--resume"],
    ]
    rows = []
    for command in commands:
        finished = subprocess.run(
            [sys.executable, *command],
            env=ENVIRONMENT,
            timeout=300,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        assert finished.stdout.count("Everything is in") == 1  # of one process only
        rows += without_seconds(tmp_path)
    ntu.main([*map(str, script[1:]), "--resume"])
    rows += without_seconds(tmp_path)
    assert rows[0] == rows[1] == rows[2]
    assert rows[0]["episodes"] == "5"
    assert len(metrics_of(tmp_path)) == 1


def test_failing_process_ends_the_others(tmp_path):
    arguments = ["--root", tmp_path / "none", "--out", tmp_path / "out", "--devices", "2"]
    finished = subprocess.run(
        [sys.executable, EXAMPLES / "ntu_fewshot.py", *TINY, *arguments],
        env=ENVIRONMENT,
        timeout=120,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode != 0
    assert "found neither *.skeleton nor nturgbd_skeletons_*.zip" in finished.stderr


@pytest.fixture
def ntu_root(tmp_path):
    """Clips of three training and three validation classes, and the one-shot test classes."""
    rng = np.random.default_rng(0)
    names = [f"S001C001P{p:03d}R001A{a:03d}" for a in (3, 4, 5, 2, 8, 14) for p in (1, 2, 3)]
    for action in range(1, 116, 6):
        exemplar = f"S{1 if action <= 55 else 18:03d}C003P008R001A{action:03d}"
        names += [exemplar, *(f"S001C001P{p:03d}R001A{action:03d}" for p in (1, 2, 3))]
    root = tmp_path / "ntu"
    root.mkdir()
    for name in names:
        pose = rng.uniform(-1, 1, (25, 3)) * (0.2, 0.9, 0.1)
        bodies = pose + 0.02 * rng.standard_normal((1, 4, 25, 3)) + (0, 0, 3)
        write_ntu_skeleton(root / f"{name}.skeleton", bodies.astype(np.float32))
    return root


def test_one_shot_protocol(ntu, ntu_root, tmp_path, capsys, table_of):
    (tmp_path / "missing.txt").write_text("S001C001P001R001A001\n")
    arguments = f"--root {ntu_root} --out {tmp_path / 'out'} --missing {tmp_path / 'missing.txt'}"
    arguments += " --protocol one-shot --n-way 3 --epochs 1 --train-episodes 2"
    ntu.main([*TINY, *arguments.split()])
    (row,) = table_of(tmp_path / "out")
    assert "one-shot" in row["method"]
    assert "GENERATED" not in row["method"]
    assert row["queries"] == "59"  # all but the exemplars and the missing one
    assert "9 training, 9 validation, 79 test clips" in capsys.readouterr().out


def test_defaults_follow_the_data(ntu, utd):
    demo, real = ntu.parse([]), ntu.parse(["--root", "data"])
    blocks = [ModelOptions.from_arguments(options).blocks for options in (demo, real)]
    assert blocks == [4, None]  # and so the published 10
    assert (real.epochs, real.train_episodes) == (100, 1000)
    assert (real.val_episodes, real.test_runs, real.test_episodes) == (500, 10, 500)
    assert demo.epochs * demo.train_episodes < 1000
    assert ntu.parse(["--epochs", "3"]).epochs == 3
    assert ntu.parse(["--root", "data", "--missing", "download"]).missing == "download"
    options = utd.parse(["--root", "data"])
    assert len(options.seeds) == 3
    assert options.test_runs * options.test_episodes >= 1000


@pytest.mark.parametrize(
    "arguments", [["--subset", "T"], ["--protocol", "one-shot"], ["--missing", "list.txt"]]
)
def test_options_of_real_data_need_it(ntu, capsys, arguments):
    with pytest.raises(SystemExit):
        ntu.parse(arguments)
    assert "give its --root" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ntu_fewshot", "utd_fewshot"])
def test_help_is_complete(name, capsys, load_example):
    with pytest.raises(SystemExit) as exit_info:
        load_example(name).parse(["--help"])
    assert exit_info.value.code == 0
    text = capsys.readouterr().out
    assert all(flag in text for flag in ("--root", "--out", "--lambda", "--resume", "--blocks"))


@pytest.mark.filterwarnings("ignore:.* cannot be written; the store goes to")
def test_utd_on_real_data(utd, utd_root, tmp_path, capsys, table_of):
    arguments = [*TINY, "--root", str(utd_root), "--out", str(tmp_path), "--seeds", "3"]
    arguments += ["--epochs", "1", "--train-episodes", "2", "--test-episodes", "20"]
    arguments += ["--test-runs", "1"]
    utd.main(arguments)
    rows = {row["method"]: row for row in table_of(tmp_path)}
    assert {row["episodes"] for row in rows.values()} == {"20"}
    assert {"L2, raw frames", "DTW, raw frames"} < set(rows)
    (trained,) = (name for name in rows if "seed 3" in name)
    assert trained == "stgcn, soft_dtw, rankmax, seed 3"
    assert rows["DTW, raw frames"]["gain over DTW, raw"] == "+0.00 ± 0.00"
    assert float(rows["DTW, raw frames"]["accuracy (%)"]) > 40  # chance is 20
    assert {path.name for path in (tmp_path / "seed3").iterdir()} >= {
        "metrics.csv", "best.ckpt", "joint_similarity.png", "alignment.png",
    }  # fmt: skip
    text = (tmp_path / "results.md").read_text()
    assert f"mean of 1 seeds: {rows[trained]['accuracy (%)']} %" in text
    assert text in capsys.readouterr().out


@pytest.fixture
def pretrained(tmp_path):
    """A folder of a model with its preparation."""
    encoder = MotionEncoder("body15", width=16, num_blocks=1)
    model = FewShotModel(encoder, MotionMatcher("body15", learned=encoder.learned, scale=20.0))
    save_model(tmp_path / "model", model, motion_transform(8))
    return str(tmp_path / "model")


@pytest.mark.slow
def test_ntu_goes_on_from_a_pretrained_model(ntu, pretrained, tmp_path, table_of):
    tiny = "--accelerator cpu --epochs 2 --train-episodes 2 --n-query 2 --val-episodes 3"
    tiny += " --test-episodes 3 --test-runs 1"
    ntu.main([*tiny.split(), "--pretrained", pretrained, "--out", str(tmp_path / "out")])
    (row,) = table_of(tmp_path / "out")
    assert row["method"].startswith(f"{pretrained}, fine-tuned, 5-way 1-shot")
    rates = [float(row["lr"]) for row in metrics_of(tmp_path / "out")]
    assert rates == pytest.approx([1.5e-4, 3e-4])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* cannot be written; the store goes to")
def test_utd_goes_on_from_a_pretrained_model(utd, utd_root, pretrained, tmp_path, table_of):
    arguments = "--accelerator cpu --epochs 2 --train-episodes 2 --n-query 2 --val-episodes 3"
    arguments += " --test-episodes 10 --test-runs 1 --seeds 3"
    out = tmp_path / "out"
    line = [*arguments.split(), "--root", str(utd_root), "--pretrained", pretrained]
    utd.main([*line, "--out", str(out)])
    rows = {row["method"]: row for row in table_of(out)}
    assert list(rows)[-3:] == ["untrained", "pretrained", "fine-tuned, seed 3"]
    tuned, before = (rows[name] for name in ("fine-tuned, seed 3", "pretrained"))
    difference = float(tuned["accuracy (%)"]) - float(before["accuracy (%)"])
    gain = float(tuned["gain by fine-tuning"].split()[0])
    assert gain == pytest.approx(difference, abs=0.011)
    assert not before["gain by fine-tuning"]
    assert (out / "seed3" / "joint_similarity.png").is_file()


def test_a_pretrained_model_decides_the_options_of_the_model(ntu, utd, pretrained):
    for script, root in ((ntu, []), (utd, ["--root", "data"])):
        options = script.parse([*root, "--pretrained", pretrained])
        assert (options.lr, options.warmup, options.classification) == (3e-4, 1, 1.0)
        with pytest.raises(ValueError, match="option matcher of the model has no effect"):
            script.main([*root, "--pretrained", pretrained, "--matcher", "dtw"])
    assert ntu.parse([]).classification == 0
