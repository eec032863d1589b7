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
# processes of their own, and what torch.compile or Triton's interpreter works on.
SLOW = (
    "tests/examples/",
    "test_ranks.py",
    "test_triton_warp.py",
    "compiles",
    "compile_whole",
    "compiled_without_graph_breaks",
    "test_compiled_function",
    "test_one_compiled_function",
    "test_spawned_worker",
    "test_matplotlib_is_only_imported_to_draw",
    "test_subpackages_are_there",
    "test_scikit_learn",
    "test_code_runs",
    "test_picture",
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


@pytest.fixture(scope="session")
def utd_root() -> Path:
    """Folder of the real UTD-MHAD data; tests that need it skip where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data" / "UTD-MHAD"
    root = Path(os.environ.get("UTD_MHAD_ROOT", default))
    if not root.is_dir():
        pytest.skip(f"UTD-MHAD is not at {root}; set UTD_MHAD_ROOT to run this test")
    return root
