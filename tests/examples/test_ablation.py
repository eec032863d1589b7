"""The ablation: rows that share data, episodes and budget, taken up where they were left."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path

import pytest
import torch

from pyg_fsar.loader import EpisodeLoader

EXAMPLES = Path(__file__).parents[2] / "examples"
TINY = "--data generated --accelerator cpu --blocks 2 --num-frames 8 --n-query 2 --epochs 2"
TINY = f"{TINY} --train-episodes 2 --val-episodes 3 --test-episodes 5 --test-runs 2".split()
ROWS = ["none, soft-DTW", "PairNorm, scale 1"]


@pytest.fixture(autouse=True)
def one_thread():
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture
def ablation(monkeypatch):
    # By name, so that the processes it starts find it, too.
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("ablation")


def run(ablation, out, *arguments, table="strategies", rows=ROWS, seeds=("0",)):
    chosen = ["--table", table, "--rows", *rows, "--seeds", *seeds]
    ablation.main([*TINY, *chosen, "--out", str(out), *arguments])


def outcomes(out):
    return {
        (path.parts[-3], path.parts[-2]): json.loads(path.read_text())
        for path in sorted(out.glob("*/*/result.json"))
    }


def table(out):
    lines = [x for x in (out / "results.md").read_text().splitlines() if x.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: dict(zip(cells[0], row, strict=True)) for row in cells[2:]}


def test_table(ablation, tmp_path, capsys):
    run(ablation, tmp_path, seeds=("0", "1"))
    found = outcomes(tmp_path)
    assert len(found) == 4
    none, pairnorm = (
        torch.tensor([found[name, seed]["accuracies"] for seed in ("seed0", "seed1")]) * 100
        for name in ("none-soft-DTW", "PairNorm-scale_1")
    )
    assert none.shape == (2, 10)
    rows = table(tmp_path)
    assert list(rows) == ROWS
    assert rows[ROWS[0]]["accuracy (%)"].startswith(f"{none.mean():.2f} ±")
    assert rows[ROWS[0]]["seeds"] == " / ".join(f"{x:.2f}" for x in none.mean(dim=1).tolist())
    # The difference is taken episode by episode, after the mean over seeds.
    difference = (pairnorm - none).mean(dim=0)
    gain, margin = rows[ROWS[1]]["gain over none, soft-DTW"].split(" ± ")
    assert float(gain) == pytest.approx(float(difference.mean()), abs=0.006)
    assert float(margin) == pytest.approx(1.96 * float(difference.std()) / math.sqrt(10), abs=0.006)
    better = int((pairnorm.mean(dim=1) > none.mean(dim=1)).sum())
    assert rows[ROWS[1]]["better in"] == f"{better} of 2 seeds"
    assert rows[ROWS[0]]["better in"] == ""
    assert float(rows[ROWS[0]]["effective rank"]) > 1
    assert (tmp_path / "results.md").read_text().strip() in capsys.readouterr().out


def test_rows_are_taken_up(ablation, tmp_path, capsys):
    run(ablation, tmp_path)
    before = outcomes(tmp_path)
    untouched, lost = sorted(tmp_path.glob("*/*/result.json"))
    written = untouched.stat().st_mtime_ns
    lost.unlink()
    capsys.readouterr()
    run(ablation, tmp_path)
    assert "1 runs to do" in capsys.readouterr().out
    assert untouched.stat().st_mtime_ns == written
    assert outcomes(tmp_path) == before


def test_interrupted_in_the_middle_of_a_row(ablation, tmp_path, monkeypatch):
    run(ablation, tmp_path / "whole", rows=ROWS[:1])
    set_epoch = EpisodeLoader.set_epoch

    def interrupted(loader, epoch):
        if epoch == 1:
            raise KeyboardInterrupt
        set_epoch(loader, epoch)

    monkeypatch.setattr(EpisodeLoader, "set_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(ablation, tmp_path / "parts", rows=ROWS[:1])
    assert not outcomes(tmp_path / "parts")
    monkeypatch.undo()
    run(ablation, tmp_path / "parts", rows=ROWS[:1])
    assert outcomes(tmp_path / "parts") == outcomes(tmp_path / "whole")


def test_processes_change_nothing(ablation, tmp_path, monkeypatch):
    run(ablation, tmp_path / "one")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run(ablation, tmp_path / "two", "--jobs", "2")
    one, two = outcomes(tmp_path / "one"), outcomes(tmp_path / "two")
    assert one.keys() == two.keys()
    for cell, outcome in one.items():
        assert two[cell]["accuracies"] == outcome["accuracies"]


def test_other_settings_are_refused(ablation, tmp_path):
    run(ablation, tmp_path, rows=ROWS[:1])
    with pytest.raises(ValueError, match=r"result\.json has lr=0\.001, but now it is 0\.1.*--out"):
        run(ablation, tmp_path, "--lr", "0.1", rows=ROWS[:1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "utd"], "--data utd needs --root"),
        (["--data", "generated", "--rows", "RankMin"], "unknown ['RankMin']; known are ['Bi-MHM'"),
    ],
)
def test_wrong_arguments(ablation, arguments, message, capsys):
    with pytest.raises(SystemExit):
        ablation.main(arguments)
    assert message in capsys.readouterr().err


def test_every_row_is_a_model(ablation):
    options = ablation.parse([*TINY, "--table", *ablation.TABLES])
    seen = {}
    for name, rows in ablation.TABLES.items():
        for row in rows:
            chosen = ablation.parse([*TINY, "--table", name])
            _, model = ablation.described(chosen, row, 0)
            ablation.build_model(model, "ntu25")
            # Tables may share a row, which must then mean the same.
            assert seen.setdefault(row, model) == model
    folders = {ablation.folder_of(options, row, 0) for row in seen}
    assert len(folders) == len(seen)


def test_encodes_test_clips_once(ablation, tmp_path, monkeypatch):
    evaluation = importlib.import_module("pyg_fsar.training.evaluation")
    embed_dataset, encoded = evaluation.embed_dataset, []

    def counting(model, dataset, **options):
        encoded.append(dataset)
        return embed_dataset(model, dataset, **options)

    monkeypatch.setattr(evaluation, "embed_dataset", counting)
    monkeypatch.setattr(ablation, "embed_dataset", counting)
    run(ablation, tmp_path, rows=ROWS[:1])
    assert len(encoded) == 3  # to validate two epochs, and to test


def test_subset_is_a_setting_of_ntu_alone(ablation, tmp_path):
    def settings(*arguments):
        return ablation.data_settings(ablation.parse(["--root", str(tmp_path), *arguments]))

    assert settings("--data", "ntu")["subset"] == "T"
    assert settings("--data", "ntu", "--subset", "S")["subset"] == "S"
    assert "subset" not in settings("--data", "utd")


def test_real_data(ablation, utd_root, tmp_path):
    short = ["--data", "utd", "--root", str(utd_root)]
    run(ablation, tmp_path, *short, table="matchers", rows=["cosine"])
    ((_, outcome),) = outcomes(tmp_path).items()
    assert len(outcome["accuracies"]) == 10
    assert outcome["settings"]["data"] == "utd"
