"""From the command line to the report."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys

import pytest
import torch

from pyg_fsar.matching import MATCHERS, build_matcher
from pyg_fsar.reproduce import Grid, reproduce
from pyg_fsar.training import PretrainingModel

TWO = ["--experiments", "figure2a", "--rows", "1", "10"]


@pytest.fixture
def utd(roots):
    return ["--data", "utd", "--root", roots["utd"]]


def tables(text):
    """Tables of a report, as rows of dictionaries, by the heading above."""
    found = {}
    for section in text.split("\n## ")[1:]:
        lines = [line for line in section.splitlines() if line.startswith("|")]
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        if cells:
            found[section.splitlines()[0]] = [
                dict(zip(cells[0], row, strict=True)) for row in cells[2:]
            ]
    return found


@pytest.mark.slow
def test_report(grid, roots, tmp_path):
    line = ["--data", "utd", "fake", "--root", roots["utd"]]
    line += ["--experiments", "figure2a", "figure3", "figures4-7"]
    line += ["--rows", "1", "10", "4 blocks", "none", "PairNorm", "--seeds", "0", "1"]
    found = grid(*line, "--out", tmp_path)
    assert found["jobs"] == 5 * 2 * 2
    text = (tmp_path / "report.md").read_text()
    results = [json.loads(path.read_text()) for path in (tmp_path / "results").iterdir()]

    def accuracies(data, scale):
        own = [
            r
            for r in results
            if (r["settings"]["protocol"], r["settings"]["norm_scale"]) == (data, scale)
        ]
        own.sort(key=lambda result: result["settings"]["seed"])
        return 100 * torch.tensor([result["accuracies"] for result in own])

    (title, rows), *_ = tables(text).items()
    assert title == "Figure 2a: scale of PairNorm, soft-DTW, 5-way 1-shot"
    assert [(row["data"], row["row"]) for row in rows] == [
        *(("UTD-MHAD", "1"), ("UTD-MHAD", "10"), ("generated", "1"), ("generated", "10"))
    ]
    for row in rows:
        values = accuracies(row["data"], float(row["row"]))
        assert values.shape == (2, 4)
        assert row["accuracy ± episodes"].startswith(f"{values.mean():.2f} ± ")
        assert row["seeds"] == " / ".join(f"{x:.2f}" for x in values.mean(dim=1).tolist())
        assert row["sd of seeds"] == f"{values.mean(dim=1).std():.2f}"
        if row["row"] == "10":
            difference = values - accuracies(row["data"], 1.0)
            assert row["minus 1 ± episodes"].startswith(f"{difference.mean():+.2f} ± ")
    names = {path.stem for path in (tmp_path / "figures").glob("*.pdf")}
    assert names == {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert {"figure2a", "figure3-utd-mhad", "figures4-7-generated-pairnorm"} < names
    assert "figures4-7-utd-mhad-singular-values" in names
    assert set(re.findall(r"\(figures/(.*)\.png\)", text)) == names
    page = (tmp_path / "report.html").read_text()
    for row in rows:
        assert f"<td>{row['accuracy ± episodes']}</td>" in page
    assert "pyg-fsar reproduce --data utd fake --root" in text
    assert f"torch {torch.__version__}" in text
    # The words of the command make the same grid.
    command = re.search(r"\$ pyg-fsar reproduce (.*--experiments figure3.*)", text)[1]
    assert "--set epochs=1" in command


@pytest.mark.slow
def test_several_ranks(tmp_path, roots):
    """One job over two devices, by Fabric: the first rank alone writes."""
    line = ["reproduce", "--budget", "small", "--accelerator", "cpu", "--devices", "2", *TWO]
    line += ["--data", "utd", "--root", roots["utd"], "--seeds", "0", "--out", tmp_path]
    line += ["--set", "epochs=1", "train_episodes=2", "val_episodes=2", "n_way=2", "n_query=1"]
    line += ["num_frames=4", "test_episodes=4"]
    done = subprocess.run(
        [sys.executable, "-m", "pyg_fsar.cli", *map(str, line)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "results").glob("*.json"))) == 2
    assert done.stdout.count("report.html") >= 1


def test_dry_run(grid, utd, tmp_path):
    found = grid(*utd, *TWO, "--seeds", "0", "1", "--dry-run", "--out", tmp_path)
    assert len(found["jobs"]) == 4
    assert found["jobs_done_before"] == 0
    assert all(row["minutes"] >= 0 and row["mib"] > 0 for row in found["jobs"])
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / "report.md").exists()


def test_estimates_grow_with_the_job(parse, utd, tmp_path):
    def cost(episodes, frames):
        short = ["n_way=2", "n_query=1", f"train_episodes={episodes}", f"num_frames={frames}"]
        grid = Grid.plan(parse(*utd, *TWO[:3], "1", "--out", tmp_path, short=short))
        ((_, found),) = grid.estimates().items()
        return found

    little = cost(10, 4)
    assert cost(100_000, 4).seconds > 20 * little.seconds
    assert cost(10, 200).mib > little.mib + 5


def test_estimates_include_the_losses_of_clips(parse, utd, tmp_path, monkeypatch):
    forward, steps = PretrainingModel.forward, []
    monkeypatch.setattr(PretrainingModel, "forward", lambda *a: steps.append(1) or forward(*a))
    for more, expected in (((), 0), (("classification=1.0", "contrast=0.5"), 2)):  # one warms up
        grid = Grid.plan(parse(*utd, *TWO[:3], "1", "--out", tmp_path, more=more))
        assert len(grid.estimates()) == 1 and len(steps) == expected


def test_jobs_alike_are_measured_once(parse, utd, tmp_path, monkeypatch):
    module = importlib.import_module("pyg_fsar.reproduce.grid")
    measured = []
    estimate = module.estimate
    monkeypatch.setattr(module, "estimate", lambda *a: measured.append(a) or estimate(*a))
    rows = ["--experiments", "figure2a", "--seeds", "0", "1"]
    grid = Grid.plan(parse(*utd, *rows, "--out", tmp_path))
    assert len(grid.estimates()) == 10
    assert len(measured) <= 2  # of which one warms up


def test_matchers_that_are_registered_have_rows(grid, utd, tmp_path, monkeypatch):
    monkeypatch.setitem(MATCHERS, "mine", lambda: build_matcher("cosine"))
    grid(*utd, "--experiments", "matchers", "--rows", "mine", "--out", tmp_path)
    assert "| mine | " in (tmp_path / "report.md").read_text()


def test_one_shot_on_other_data(grid, utd, tmp_path):
    row = ["--experiments", "one-shot", "--rows", "untrained, DTW, raw frames"]
    grid(*utd, *row, "--out", tmp_path, short=["n_way=2", "n_query=1", "num_frames=4"])
    (path,) = (tmp_path / "results").iterdir()
    assert len(json.loads(path.read_text())["accuracies"]) == 6 - 2  # all but the exemplars


def test_experiments_of_other_data(parse, roots, tmp_path):
    """NTU has the experiments that name it; what stands in has all."""
    ntu = Grid.plan(parse("--data", "ntu", "--root", roots["ntu"], "--out", tmp_path))
    protocols = {name: {p for n, p, _ in ntu.jobs if n == name} for name, *_ in ntu.jobs}
    assert protocols["table1"] == {"NTU-T"}
    assert protocols["table2"] == {"NTU-T", "NTU-S"}
    assert protocols["one-shot"] == {"NTU-120 one-shot"}
    line = ["--data", "kinetics", "--root", roots["kinetics"], "--out", tmp_path]
    kinetics = Grid.plan(parse(*line))
    assert {p for _, p, _ in kinetics.jobs} == {"Kinetics"}
    assert "table1" not in {name for name, *_ in kinetics.jobs}
    with pytest.raises(ValueError, match="none of table1 is about --data kinetics"):
        Grid.plan(parse(*line, "--experiments", "table1"))


def test_interrupted_grids_are_whole_for_fewer_seeds(parse, utd, tmp_path):
    grid = Grid.plan(parse(*utd, *TWO, "--seeds", "5", "7", "--out", tmp_path))
    assert [job.training.seed for job in grid.all_jobs] == [5, 5, 7, 7]


def test_options_without_effect(parse, utd, tmp_path):
    with pytest.raises(ValueError, match="--set norm_scale has no effect"):
        Grid.plan(parse(*utd, *TWO, "--out", tmp_path, more=["norm_scale=3.0"]))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--root", "."], "--data fake needs no --root, got 1"),
        (["--data", "utd", "hdm05"], "needs one --root for each of utd, hdm05, got 0"),
        (["--processed", "."], "--processed has no effect on --data fake"),
        (["--engine", "slurm", "--cluster-options", "cluster=local"], "with --engine submitit"),
        (["--set", "seed=3"], "give --seeds instead of --set seed"),
        (["--set", "precision=bf16-mixed"], "give --precision instead of --set precision"),
        (["--set", "resume=True"], "--set resume has no effect"),
    ],
    ids=str,
)
def test_options_that_contradict_each_other(parse, words, message, tmp_path):
    options = parse(*TWO, "--out", tmp_path, *words)
    if words[0] == "--set":
        options.set = words[1:]
    with pytest.raises(ValueError, match=message):
        reproduce(options)


def test_a_folder_that_cannot_be_made(grid, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"cannot make the folder of --out, .*file .*another"):
        grid(*TWO, "--out", tmp_path / "file")
