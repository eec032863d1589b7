"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from pyg_fsar import Skeleton

# Tests compute little, and run two at a time: more threads would only wait for each other.
torch.set_num_threads(1)


# Parts of the names of tests that take more than about a second of processor time: whole runs,
# processes of their own, torch.compile, Triton's interpreter, finite differences.
SLOW = (
    "test_a_band_is_infinite_cost",
    "test_alignment_in_time_helps",
    "test_examples_of_help",
    "test_code_runs",
    "test_commands_of_pyg_fsar_run",
    "test_experiment.py",
    "test_half_precision_with_loss_scaling",
    "test_kernels_in_the_interpreter",
    "test_matplotlib_is_only_imported_to_draw",
    "test_module_is_the_program",
    "test_picture_is_drawn",
    "test_ranks.py",
    "test_resumed_run_equals",
    "test_scikit_learn",
    "test_spawned_worker",
    "test_subpackages_are_there",
    "tests/examples/",
    "at_length_512",
    "compile_takes",
    "compile_whole",
    "compile_without_a_gpu",
    "compiled_without_graph_breaks",
    "compiles",
    "for_long_clips",
    "gradients_are_those_of_differences",
    "graph_is_traced",
    "keep_the_rules_of_torch",
    "one_compiled_function",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(part in item.nodeid for part in SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _own_skeletons() -> Iterator[None]:
    """No test sees the skeletons that another has registered."""
    with patch.dict(Skeleton._registry):
        yield


def _real_data(folder: str, variable: str) -> Path:
    """A folder of real data; tests that need it skip, saying so, where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data" / folder
    root = Path(os.environ.get(variable, default))
    if not root.is_dir():
        pytest.skip(f"{folder} is not at {root}; set {variable} to run this test")
    return root


@pytest.fixture(scope="session")
def utd_root() -> Path:
    """Folder of UTD-MHAD."""
    return _real_data("UTD-MHAD", "UTD_MHAD_ROOT")


@pytest.fixture(scope="session")
def kinder_gator_root() -> Path:
    """Folder of Kinder-Gator."""
    return _real_data("Kinder-Gator", "KINDER_GATOR_ROOT")


@pytest.fixture(scope="session")
def hdm05_root() -> Path:
    """Folder of 11 actions of HDM05."""
    return _real_data("HDM05-11", "HDM05_ROOT")


@pytest.fixture(scope="session")
def formats_root() -> Path:
    """Folder of genuine files of many formats."""
    return _real_data("formats", "FORMATS_ROOT")
