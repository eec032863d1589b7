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
