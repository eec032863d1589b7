"""What the tests of example scripts share."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def load_example() -> Callable[[str], ModuleType]:
    """Loads an example by its name as a module."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="module")
def script(request: pytest.FixtureRequest, load_example: Callable[[str], ModuleType]) -> ModuleType:
    """The example that a file of tests is named after."""
    return load_example(request.path.stem.removeprefix("test_"))


@pytest.fixture(scope="session")
def rows_of() -> Callable[[str], list[dict[str, str]]]:
    """Reads the rows of a table in Markdown."""

    def read(text: str) -> list[dict[str, str]]:
        lines = [line for line in text.splitlines() if line.startswith("|")]
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]

    return read
