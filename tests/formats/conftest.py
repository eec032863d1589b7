"""Fixtures for the tests of file formats."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def genuine() -> Path:
    """Folder of genuine files of many formats; tests that need it skip where it is absent."""
    default = Path(__file__).parents[3] / "shared" / "data" / "formats"
    root = Path(os.environ.get("FORMATS_ROOT", default))
    if not root.is_dir():
        pytest.skip(f"files of other tools are not at {root}; set FORMATS_ROOT to run this test")
    return root
