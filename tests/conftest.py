"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from tqdm import tqdm

import pyg_fsar
from pyg_fsar.skeleton import SKELETONS

# Tests compute little, and run two at a time: more threads would only wait for each other.
torch.set_num_threads(1)

# tqdm has one lock for a process and all it forks. Some tests kill a forked process, which may hold
# it: then all others would wait for ever.
os.register_at_fork(after_in_child=lambda: tqdm.set_lock(threading.RLock()))

PACKAGE = Path(pyg_fsar.__file__).parent
LONGEST_MESSAGE = 500

# Parts of the names of tests that `make quick` leaves out. First what takes more than about a
# second of processor time: whole runs, other processes, compilers, finite differences, real data.
SLOW = (
    "test_a_band_is_infinite_cost",
    "test_alignment_in_time_helps",
    "test_all_real_clips_load",
    "test_examples_of_help",
    "test_code_runs",
    "test_a_library_that_may_not_be_ours",
    "test_genuine_files",
    "test_killed_run_goes_on",
    "test_machines_without_bf16",
    "test_operator_is_registered_whole",
    "test_private_names_stay",
    "test_real_clips",
    "test_report.py",
    "test_run.py",
    "test_commands_of_pyg_fsar_run",
    "test_half_precision_with_loss_scaling",
    "test_kernels_in_the_interpreter",
    "test_matplotlib_is_only_imported_to_draw",
    "test_module_is_the_program",
    "test_picture_is_drawn",
    "test_picture_of_the_report_is_drawn",
    "test_compile_with_their_gradient",
    "beats_time_warping_of_joints",
    "test_ranks.py",
    "test_resumed_run_equals",
    "test_scikit_learn",
    "test_spawned_worker",
    "test_subpackages_are_there",
    "tests/examples/",
    "tests/test_export.py",
    "tests/training/test_clip_losses.py",
    "tests/training/test_open_set.py",
    "test_fit.py::test_another_optimizer",
    "test_fit.py::test_best_",
    "test_fit.py::test_early_stopping",
    "test_fit.py::test_free_options",
    "test_fit.py::test_learns",
    "test_fit.py::test_plateau",
    "test_fit.py::test_precision",
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
    "while_another_saves",
    "while_two_others_save",
    "zip_bombs",
    # Then what is exhaustive: all options, matchers, commands, damaged bytes or hostile files.
    "tests/benchmarks/test_fuzz.py",
    "tests/classifier/test_explanation.py",
    "tests/classifier/test_stream.py",
    "tests/cli/test_classify.py",
    "tests/cli/test_info.py",
    "tests/cli/test_spot.py",
    "tests/cli/test_train.py",
    "tests/datasets/test_damage.py",
    "tests/matching/aligners/test_warping.py",
    "tests/matching/costs/test_activated.py",
    "tests/matching/test_matcher_properties.py",
    "tests/nn/models/test_backbones.py",
    "tests/nn/models/test_frame_encoder_convs.py",
    "tests/nn/test_module_semantics.py",
    "tests/nn/test_pretrained_safety.py",
    "tests/reproduce/",
    "embedded_as_each_is_alone",
    "equal_the_naive_recursion",
    "holds_embeddings_of_all_streams",
    "labels_are_on_the_page",
    "tests/saving/test_safe_pickle.py",
    "tests/test_user_errors.py",
    "tests/transforms/test_map_joints.py",
    "examples_of_docstrings",
    "mistakes_are_told_in_one_line",
    "transforms_come_back",
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
    with patch.dict(SKELETONS):
        yield


@pytest.fixture(autouse=True)
def _short_messages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every error of the package that a test provokes, and every warning, can be read at once."""
    checks: list[Any] = []

    def noting(check: Callable[..., Any]) -> Callable[..., Any]:
        def note(*args: Any, **kwargs: Any) -> Any:
            checks.append(check(*args, **kwargs))
            return checks[-1]

        return note

    for name in ("raises", "warns"):
        monkeypatch.setattr(pytest, name, noting(getattr(pytest, name)))
    yield
    for check in checks:
        for text in _own_messages(check):
            assert len(text) < LONGEST_MESSAGE, f"{len(text)} characters: {text[:400]}"


def _own_messages(check: Any) -> list[str]:
    """Texts of what ``pytest.raises`` or ``pytest.warns`` met, if this package wrote them."""
    if isinstance(check, pytest.WarningsRecorder):
        return [str(record.message) for record in check.list]
    caught = getattr(check, "excinfo", None)
    if caught is None or not caught.traceback:
        return []
    is_own = Path(caught.traceback[-1].path).is_relative_to(PACKAGE)
    return [str(caught.value)] if is_own else []


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


@pytest.fixture(scope="session")
def checkpoints_root() -> Path:
    """Folder of public checkpoints."""
    return _real_data("checkpoints", "CHECKPOINTS_ROOT")
