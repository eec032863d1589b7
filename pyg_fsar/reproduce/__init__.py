"""The tables and figures of Ma et al. (ECCV 2022) and more, on data of one's own choice."""

from pyg_fsar.reproduce.compute import compute
from pyg_fsar.reproduce.estimate import Cost, estimate
from pyg_fsar.reproduce.experiments import BUDGETS, Budget, Experiment, Published, experiments
from pyg_fsar.reproduce.grid import Grid, add_arguments, reproduce
from pyg_fsar.reproduce.job import Job, make_job
from pyg_fsar.reproduce.report import Cell, write_report
from pyg_fsar.reproduce.run import (
    ENGINES,
    Failure,
    read_result,
    result_path,
    run_job,
    run_jobs,
)
from pyg_fsar.reproduce.sources import SOURCES, Place, Protocol, exemplars_of
from pyg_fsar.reproduce.statistics import Spread, paired, spread

__all__ = [
    "BUDGETS",
    "ENGINES",
    "SOURCES",
    "Budget",
    "Cell",
    "Cost",
    "Experiment",
    "Failure",
    "Grid",
    "Job",
    "Place",
    "Protocol",
    "Published",
    "Spread",
    "add_arguments",
    "compute",
    "estimate",
    "exemplars_of",
    "experiments",
    "make_job",
    "paired",
    "read_result",
    "reproduce",
    "result_path",
    "run_job",
    "run_jobs",
    "spread",
    "write_report",
]
