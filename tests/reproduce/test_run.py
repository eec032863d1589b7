"""Results are written whole, once, and whatever happens to the others."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace

import pytest
from filelock import FileLock

from pyg_fsar.loader import EpisodeLoader
from pyg_fsar.reproduce import ENGINES, Failure, Grid, read_result, result_path, run_job, run_jobs

ROWS = ["--experiments", "figure2a", "--rows", "1", "10"]
SHORT = [
    "epochs=2", "train_episodes=2", "val_episodes=2", "n_way=2", "n_query=1", "num_frames=4",
    "test_episodes=4",
]  # fmt: skip
# As many threads as the tests themselves have, since rounding depends on that.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
# What is the same whenever and wherever a job runs.
FIXED = ("name", "settings", "accuracies", "similarity", "effective_rank", "epochs")


def outcomes(out):
    results = [json.loads(path.read_text()) for path in sorted((out / "results").glob("*.json"))]
    return {result["name"]: {key: result[key] for key in FIXED} for result in results}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, roots):
    """Results of a grid that nothing has disturbed, by a process of its own."""
    out = tmp_path_factory.mktemp("finished")
    subprocess.run(
        command(out, roots), check=True, capture_output=True, timeout=300, env=ENVIRONMENT
    )
    return outcomes(out)


def command(out, roots):
    line = ["reproduce", "--budget", "small", "--accelerator", "cpu", "--seeds", "0", "--out", out]
    line += ["--data", "utd", "--root", roots["utd"], *ROWS, "--set", *SHORT]
    return [sys.executable, "-m", "pyg_fsar.cli", *map(str, line)]


@pytest.fixture
def utd(roots):
    return ["--data", "utd", "--root", str(roots["utd"]), *ROWS]


@pytest.fixture
def planned(parse, utd, tmp_path):
    """A grid of two jobs."""
    return lambda *more: Grid.plan(parse(*utd, "--out", tmp_path, short=SHORT, more=more))


@pytest.mark.slow
def test_nothing_is_computed_twice(grid, utd, finished, tmp_path, monkeypatch):
    grid(*utd, "--out", tmp_path, short=SHORT)
    assert outcomes(tmp_path) == finished
    assert len(finished) == 2
    times = [path.stat().st_mtime_ns for path in (tmp_path / "results").iterdir()]
    module = importlib.import_module("pyg_fsar.reproduce.run")
    monkeypatch.setattr(module, "compute", None)  # may not be called
    assert grid(*utd, "--out", tmp_path, short=SHORT)["jobs"] == 2
    # One row under two names is one job.
    rows = ["--experiments", "figure2a", "strategies", "--rows", "1", "PairNorm, scale 1"]
    assert grid(*utd[:4], *rows, "--out", tmp_path, short=SHORT)["jobs"] == 1
    assert [path.stat().st_mtime_ns for path in (tmp_path / "results").iterdir()] == times


def end_in_the_middle(line, kind, out):
    """Send a signal to a command in the middle of its first job; returns what it wrote to stderr.

    Which is open until the last of its processes has ended.
    """
    process = subprocess.Popen(
        line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=ENVIRONMENT,
        # A process in the background of a shell ignores interrupts, and so do those it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    while not list(out.glob("runs/*/last.ckpt")):  # the first checkpoint
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.02)
    process.send_signal(kind)
    errors = process.communicate(timeout=60)[1].decode()
    assert process.returncode == (130 if kind is signal.SIGINT else -kind)
    return errors


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_killed_grids_go_on_to_the_same_results(kind, grid, utd, roots, finished, tmp_path):
    errors = end_in_the_middle(command(tmp_path, roots), kind, tmp_path)
    if kind is signal.SIGINT:
        assert errors.endswith("interrupted\n")
        assert (tmp_path / "report.md").is_file()
    assert not list((tmp_path / "results").glob("*.json"))
    grid(*utd, "--out", tmp_path, short=SHORT)
    assert outcomes(tmp_path) == finished


@pytest.mark.slow
def test_no_process_of_an_interrupted_grid_goes_on(roots, tmp_path):
    line = [*command(tmp_path, roots), "--engine", "processes"]
    line[line.index("epochs=2")] = "epochs=100000"
    assert end_in_the_middle(line, signal.SIGINT, tmp_path).endswith("interrupted\n")


def test_a_failed_job_does_not_stop_the_others(grid, utd, planned, tmp_path, monkeypatch, capsys):
    set_epoch, failing = EpisodeLoader.set_epoch, [True]

    def broken(loader, epoch):
        if failing.pop(0) if failing else False:
            raise ValueError("the disk is on fire")
        set_epoch(loader, epoch)

    monkeypatch.setattr(EpisodeLoader, "set_epoch", broken)
    with pytest.raises(RuntimeError, match=r"1 of 2 jobs failed.*the disk is on fire; see .*log"):
        grid(*utd, "--out", tmp_path, short=SHORT)
    first, second = planned().all_jobs
    assert read_result(first, planned().place) is None
    assert result_path(second, planned().place).is_file()
    log = (tmp_path / "runs" / first.name / "log.txt").read_text()
    assert "Traceback" in log and "ValueError: the disk is on fire" in log
    report = (tmp_path / "report.md").read_text()
    assert "the disk is on fire; see" in report
    assert f"[2/2] {second.name}" in capsys.readouterr().err
    assert grid(*utd, "--out", tmp_path, short=SHORT)["jobs"] == 2
    assert "the disk is on fire" not in (tmp_path / "report.md").read_text()


def test_other_options_make_other_results(planned):
    job = planned().all_jobs[0]
    names = {job.name}
    for change in ("lr=0.1", "weight_decay=0.0", "eval_seed=1", "blocks=3"):
        names.add(planned(change).all_jobs[0].name)
    assert len(names) == 5
    # What leaves the result as it is leaves the job as it is.
    assert planned("num_workers=1").all_jobs[0].name == job.name


def test_damaged_results_are_told(planned):
    grid = planned()
    path = result_path(grid.all_jobs[0], grid.place)
    path.parent.mkdir()
    for text in ("{", "[]", '{"settings": {}, "accuracies": [1]}'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"json is damaged .*; delete it to compute it again"):
            read_result(grid.all_jobs[0], grid.place)


def test_jobs_of_another_process_come_last(planned, tmp_path, monkeypatch):
    grid = planned()
    first, second = grid.all_jobs
    module = importlib.import_module("pyg_fsar.reproduce.run")
    monkeypatch.setattr(module, "compute", lambda job, *_: {"computed": job.name})
    folder = tmp_path / "runs" / first.name
    folder.mkdir(parents=True)
    ended = []
    with FileLock(folder / "lock"):
        jobs = run_jobs(grid.all_jobs, grid.place)
        ended.append(next(jobs)[0])
        # Meanwhile the other process has written its result.
        result_path(first, grid.place).write_text("{}")
    ended += [job for job, _ in jobs]
    assert ended == [second, first]
    assert result_path(first, grid.place).read_text() == "{}"
    assert json.loads(result_path(second, grid.place).read_text()) == {"computed": second.name}
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.slow
def test_processes(planned, finished, tmp_path):
    grid = planned()
    ended = dict(run_jobs(grid.all_jobs, grid.place, ENGINES["processes"]))
    assert ended == dict.fromkeys(grid.all_jobs)
    assert outcomes(tmp_path) == finished


def die(job, place, wait=True):
    """In place of :func:`run_job`, in a process of its own."""
    if "pairnorm" in str(job.settings["norm"]) and job.settings["norm_scale"] == 1:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_process_that_dies_fails_one_job(planned, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.import_module("pyg_fsar.reproduce.run"), "run_job", die)
    grid = planned()
    first, second = grid.all_jobs
    ended = dict(run_jobs(grid.all_jobs, grid.place, lambda *a: ENGINES["processes"](*a, count=1)))
    assert ended[second] is None
    assert isinstance(ended[first], Failure)
    assert "its process died" in str(ended[first])
    assert first.name in str(ended[first].log)


@pytest.mark.slow
def test_submitit(planned, finished, tmp_path):
    pytest.importorskip("submitit")
    grid = planned()
    ended = dict(
        run_jobs(
            grid.all_jobs,
            grid.place,
            lambda *a: ENGINES["submitit"](*a, cluster="local", timeout_min=5),
        )
    )
    assert ended == dict.fromkeys(grid.all_jobs)
    assert outcomes(tmp_path) == finished


def test_without_submitit(planned, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    grid = planned()
    with pytest.raises(ImportError, match=r"pip install pyg-fsar\[cluster\]"):
        list(run_jobs(grid.all_jobs, grid.place, ENGINES["slurm"]))


def test_clusters_that_are_not_there(planned, monkeypatch):
    class AutoExecutor:
        def __init__(self, folder, cluster):
            if cluster == "slurm":
                raise RuntimeError("no srun")
            self.cluster = "local"

    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace(AutoExecutor=AutoExecutor))
    grid = planned()
    with pytest.raises(ValueError, match=r"no cluster here \(no srun\).*pass --jobs"):
        list(run_jobs(grid.all_jobs, grid.place, ENGINES["slurm"]))
    several = partial(ENGINES["submitit"], slurm_array_parallelism=2)
    with pytest.raises(ValueError, match=r"slurm_array_parallelism.*no effect without SLURM"):
        list(run_jobs(grid.all_jobs, grid.place, several))
    assert list(run_jobs([], grid.place, ENGINES["slurm"])) == []  # a report needs no cluster


def test_the_lock_is_waited_for(planned):
    job = planned().all_jobs[0]
    place = planned().place
    result_path(job, place).parent.mkdir()
    result_path(job, place).write_text("{}")
    assert run_job(job, place) is None  # and the file is as it was
    assert result_path(job, place).read_text() == "{}"
