"""The whole: from the command line to cells, jobs and a report."""

from __future__ import annotations

import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock

from pyg_fsar.reproduce.estimate import Cost, estimate, size_of
from pyg_fsar.reproduce.experiments import BUDGETS, Experiment, experiments
from pyg_fsar.reproduce.job import Job, make_job
from pyg_fsar.reproduce.report import Cell, write_report
from pyg_fsar.reproduce.run import ENGINES, Failure, read_result, run_jobs
from pyg_fsar.reproduce.sources import SOURCES, Place
from pyg_fsar.training import TrainingOptions, launch
from pyg_fsar.training.options import parse_assignments

__all__ = ["Grid", "add_arguments", "reproduce"]

PROGRAM = "pyg-fsar reproduce"
# Options that have flags of their own.
INSTEAD_OF_SET = {
    "accelerator": "accelerator",
    "devices": "devices",
    "precision": "precision",
    "seed": "seeds",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of :func:`reproduce`."""
    names = list(experiments())
    parser.add_argument(
        "--data", nargs="+", choices=SOURCES, default=["fake"],
        help="data sets (default: fake, generated motions)",
    )  # fmt: skip
    parser.add_argument("--root", nargs="+", type=Path, default=[], help="folder of each data set")
    parser.add_argument("--missing", help="list of NTU clips with missing skeletons, or 'download'")
    parser.add_argument("--processed", type=Path, help="folder for what is made of the raw files")
    parser.add_argument(
        "--experiments", nargs="+", choices=names, default=names, metavar="NAME",
        help=f"tables and figures (default: all): {', '.join(names)}",
    )  # fmt: skip
    parser.add_argument("--rows", nargs="+", help="only these rows, by name")
    parser.add_argument(
        "--budget", choices=BUDGETS, default="paper", help="how much is trained (default: paper)"
    )
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE",
        help="other options of training, model or clips than those of the budget, such as epochs=4",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2], help="one run each (default: 0 1 2)"
    )
    parser.add_argument(
        "--engine", choices=ENGINES, default=None,
        help="how jobs run (default: in order, or in processes with --jobs)",
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=1, help="jobs at a time (default: 1)")
    parser.add_argument(
        "--cluster-options", nargs="+", default=[], metavar="NAME=VALUE",
        help="parameters of submitit, such as timeout_min=600 gpus_per_node=1",
    )  # fmt: skip
    parser.add_argument("--accelerator", default="auto", help="cpu, cuda, ..., as Fabric takes it")
    parser.add_argument("--devices", default="auto", help="devices of each job, as Fabric takes it")
    parser.add_argument("--precision", help="number format, such as bf16-mixed")
    parser.add_argument(
        "--dry-run", action="store_true",
        help="list the jobs with an estimate of time and memory, and stop",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("runs/reproduce"),
        help="folder for results (default: runs/reproduce)",
    )  # fmt: skip


@dataclass(frozen=True)
class Grid:
    """All cells of a run, and the jobs that they need.

    Args:
        place: Where data lies and results go.
        experiments: What is reproduced, with the rows that were chosen.
        jobs: The jobs of each cell, by experiment, data set and row, each by its seed; an untrained
            row has one job, under None.

    Example:
        >>> grid = Grid(Place(Path("out")), experiments={})
        >>> len(grid.all_jobs)
        0
    """

    place: Place
    experiments: Mapping[str, Experiment]
    jobs: Mapping[tuple[str, str, str], Mapping[int | None, Job]] = field(default_factory=dict)

    @classmethod
    def plan(cls, options: Namespace) -> Grid:
        """The grid of parsed arguments. Data sets are opened, and made ready if need be.

        Raises:
            ValueError: If options contradict each other, or one has no effect.
            FileNotFoundError: If there is no data.
        """
        sources = list(dict.fromkeys(options.data))
        with_root = [s for s in sources if any(p.has_root for p in SOURCES[s].values())]
        if len(options.root) != len(with_root):
            needs = f"one --root for each of {', '.join(with_root)}" if with_root else "no --root"
            raise ValueError(f"--data {' '.join(sources)} needs {needs}, got {len(options.root)}")
        if options.processed and not with_root:
            raise ValueError(f"--processed has no effect on --data {' '.join(sources)}")
        roots = dict(zip(with_root, options.root, strict=True))
        place = Place(options.out, roots, options.processed, options.missing)
        if options.missing and "ntu" not in options.data:
            raise ValueError("--missing is about --data ntu")
        chosen = _chosen(options)
        changes = parse_assignments(options.set)
        for name, flag in INSTEAD_OF_SET.items():
            if name in changes:
                raise ValueError(f"give --{flag} instead of --set {name}")
        if "resume" in changes:
            raise ValueError("--set resume has no effect: unfinished jobs are always resumed")
        hardware = _hardware(options)
        jobs: dict[tuple[str, str, str], dict[int | None, Job]] = {}
        # Several processes that compute one job start from the same store.
        with launch(TrainingOptions(**hardware)).rank_zero_first():
            for name, experiment in chosen.items():
                for source, protocol in _places(experiment, sources):
                    digest = place.fingerprint(source, protocol)
                    for row in experiment.rows:
                        of_row = {}
                        for seed in options.seeds:
                            job = make_job(
                                source, protocol, digest, experiment, row,
                                BUDGETS[options.budget], seed, changes | hardware,
                            )  # fmt: skip
                            of_row[None if job.untrained else seed] = job
                        jobs[name, protocol, row] = of_row
        if not jobs:
            raise ValueError(
                f"none of {', '.join(chosen)} is about --data {' '.join(options.data)}; give "
                "other --experiments or --data"
            )
        grid = cls(place, chosen, jobs)
        grid._refuse_unused(changes)
        return grid

    def _refuse_unused(self, changes: Mapping[str, Any]) -> None:
        for name, value in changes.items():
            owners = [
                owner
                for of_row in self.jobs.values()
                for job in of_row.values()
                for owner in (job, job.training, job.model)
            ]
            if all(getattr(owner, name, None) != value for owner in owners):
                raise ValueError(
                    f"--set {name} has no effect on these experiments, whose rows are about it or "
                    "have no such option; leave it out"
                )

    @property
    def all_jobs(self) -> list[Job]:
        """Every job once, seed by seed, so that an interrupted grid is whole for fewer seeds."""
        seeds = dict.fromkeys(seed for of_row in self.jobs.values() for seed in of_row)
        return list(
            dict.fromkeys(
                of_row[seed] for seed in seeds for of_row in self.jobs.values() if seed in of_row
            )
        )

    def cells(self, failures: Mapping[Job, Failure]) -> list[Cell]:
        """All cells with what is known of them."""
        results = {job: read_result(job, self.place) for job in self.all_jobs}
        return [
            Cell(
                *name,
                {seed: found for seed, job in of_row.items() if (found := results[job])},
                {seed: failures[job] for seed, job in of_row.items() if job in failures},
                len(of_row),
            )
            for name, of_row in self.jobs.items()
        ]

    def estimates(self) -> dict[Job, Cost]:
        """What each job that has no result yet takes, from one measurement for jobs alike."""
        measured: dict[Job, Cost] = {}
        costs: dict[Job, Cost] = {}
        for job in self.all_jobs:
            if read_result(job, self.place) is None:
                size = size_of(job)
                if not measured:
                    estimate(size, self.place)  # warms up
                if size not in measured:
                    measured[size] = estimate(size, self.place)
                costs[job] = measured[size]
        return costs


def _chosen(options: Namespace) -> dict[str, Experiment]:
    """The experiments asked for, with the rows asked for."""
    known = experiments()
    chosen = {name: known[name] for name in dict.fromkeys(options.experiments)}
    if options.rows is None:
        return chosen
    rows = {row for experiment in chosen.values() for row in experiment.rows}
    if unknown := sorted(set(options.rows) - rows):
        listed = ", ".join(sorted(rows))
        raise ValueError(f"--rows: no row is named {unknown[0]!r:.80}; known are {listed}"[:480])
    kept = {
        name: replace(
            experiment, rows={k: v for k, v in experiment.rows.items() if k in options.rows}
        )
        for name, experiment in chosen.items()
    }
    return {name: experiment for name, experiment in kept.items() if experiment.rows}


def _places(experiment: Experiment, sources: Sequence[str]) -> list[tuple[str, str]]:
    return [
        (source, name)
        for source in sources
        for name, protocol in SOURCES[source].items()
        if protocol.stands_in or name in experiment.protocols
    ]


def reproduce(options: Namespace) -> dict[str, Any]:
    """Run a grid, or what is left of it, and write the report.

    Progress goes to stderr.

    Args:
        options: Parsed arguments of :func:`add_arguments`.

    Returns:
        What was done: numbers of jobs, and the report's files. Of a dry run, the jobs with their
        estimates.

    Raises:
        ValueError: If options contradict each other.
        RuntimeError: If jobs failed; after all others are done and the report is written.
    """
    engine = _engine(options)
    grid = Grid.plan(options)
    leads = launch(TrainingOptions(**_hardware(options))).is_global_zero  # of several ranks
    if options.dry_run:
        return _listed(grid)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"cannot make the folder of --out, {options.out} ({error.strerror}); give another"
        ) from error
    jobs = grid.all_jobs
    done = sum(read_result(job, grid.place) is not None for job in jobs)
    say = _say if leads else lambda text: None
    say(f"{len(jobs)} jobs, {done} done before")
    failures: dict[Job, Failure] = {}
    try:
        for job, failure in run_jobs(jobs, grid.place, engine):
            done += 1
            if failure is not None:
                failures[job] = failure
            say(f"[{done}/{len(jobs)}] {job.name}: {_outcome(grid, job, failure)}")
    finally:  # also of an interrupted grid
        if leads:
            _write(grid, failures, options)
    report = options.out / "report.html"
    if failures:
        first, failure = next(iter(failures.items()))
        raise RuntimeError(
            f"{len(failures)} of {len(jobs)} jobs failed, the others are in {report}; the same "
            f"command tries them again. The first is {first.name}: {failure}"[:480]
        )
    return {"jobs": len(jobs), "report": str(report), "figures": str(options.out / "figures")}


def _hardware(options: Namespace) -> dict[str, Any]:
    """Options of Fabric, which are the same for all jobs."""
    given = {name: getattr(options, name) for name in ("accelerator", "devices", "precision")}
    return {name: value for name, value in given.items() if value is not None}


def _outcome(grid: Grid, job: Job, failure: Failure | None) -> str:
    if failure is not None:
        return f"failed: {failure}"
    result = read_result(job, grid.place)
    assert result is not None  # the engine has just said so
    accuracies = result["accuracies"]
    return f"{100 * sum(accuracies) / len(accuracies):.2f} % ({result['seconds']:.0f} s)"


def _write(grid: Grid, failures: Mapping[Job, Failure], options: Namespace) -> list[Path]:
    protocols = dict.fromkeys(protocol for _, protocol, _ in grid.jobs)
    about = (
        f"Budget '{options.budget}'{''.join(f', {text}' for text in options.set)}; data: "
        f"{', '.join(protocols)}; seeds {', '.join(map(str, options.seeds))}."
    )
    if "NTU-T" not in protocols:
        about += " The paper's numbers are of other data, and stand here for orientation only."
    with FileLock(options.out / "report.lock"):  # two commands may end at once
        return write_report(
            grid.cells(failures), grid.experiments, options.out,
            f"Few-shot action recognition on {', '.join(protocols)}", about,
            {name: _command(options, name) for name in grid.experiments},
        )  # fmt: skip


def _command(options: Namespace, experiment: str) -> str:
    words = ["--data", *options.data]
    if options.root:
        words += ["--root", *map(str, options.root)]
    words += ["--budget", options.budget, "--experiments", experiment]
    words += ["--seeds", *map(str, options.seeds)]
    for flag in ("rows", "set"):
        if values := getattr(options, flag):
            words += [f"--{flag}", *values]
    for flag in ("precision", "missing"):
        if value := getattr(options, flag):
            words += [f"--{flag}", str(value)]
    return f"{PROGRAM} {shlex.join(words)}"


def _listed(grid: Grid) -> dict[str, Any]:
    costs = grid.estimates()
    rows = [
        {
            "job": job.name,
            "minutes": round(cost.seconds / 60, 1),
            "mib": round(cost.mib),
        }
        for job, cost in costs.items()
    ]
    return {
        "jobs": rows,
        "jobs_done_before": len(grid.all_jobs) - len(rows),
        "hours_one_at_a_time": round(sum(cost.seconds for cost in costs.values()) / 3600, 2),
        "mib_at_most": max((round(cost.mib) for cost in costs.values()), default=0),
    }


def _engine(options: Namespace) -> Any:
    if options.jobs < 1:
        raise ValueError(f"--jobs must be at least 1, got {options.jobs}")
    name = options.engine or ("processes" if options.jobs > 1 else "order")
    on_cluster = name in ("submitit", "slurm")
    if options.cluster_options and not on_cluster:
        raise ValueError("--cluster-options needs --engine submitit or slurm")
    if on_cluster:
        given = parse_assignments(options.cluster_options)
        if name == "slurm" and "cluster" in given:
            raise ValueError("cluster= goes with --engine submitit; slurm is one already")
        if options.jobs > 1:
            given["slurm_array_parallelism"] = options.jobs
        return partial(ENGINES[name], **given)
    if name == "order" and options.jobs > 1:
        raise ValueError("--jobs has no effect with --engine order")
    return partial(ENGINES[name], count=options.jobs) if name == "processes" else ENGINES[name]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
