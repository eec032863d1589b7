"""A short run of ``benchmarks/fuzz.py``: damaged files are read, skipped or refused."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"


def load_fuzz() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz"] = module
    spec.loader.exec_module(module)
    return module


fuzz = load_fuzz()
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each input needs a process")


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_nothing_but_read_skipped_or_refused(name: str) -> None:
    if name == "UTD-MHAD":
        pytest.importorskip("scipy")
    outcomes, bad = fuzz.fuzz(fuzz.TARGETS[name], 50)
    assert not bad, "\n".join(bad)
    assert sum(outcomes.values()) == 50


def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("outcome", "act"),
    [
        ("read", lambda folder: None),
        ("skipped", lambda folder: "skipped"),
        ("refused", lambda folder: fail(ValueError("number.txt is damaged; get it again"))),
        ("unclear", lambda folder: fail(ValueError("it is damaged"))),
        ("unclear", lambda folder: fail(KeyError("number.txt"))),
        ("unclear", lambda folder: fail(ValueError("number.txt " + "." * 500))),
        ("memory", lambda folder: bytearray(7 * 2**30)),
        ("crash", lambda folder: os.abort()),
        ("hang", lambda folder: os.kill(os.getpid(), signal.SIGALRM)),
        ("code", lambda folder: os.system("true")),
        ("outside", lambda folder: (folder.parent / "elsewhere.txt").write_text("x")),
        ("outside", lambda folder: (folder.parent / "outside" / "precious.txt").unlink()),
    ],
)
def test_every_outcome_is_told_apart(outcome: str, act: Callable[[Path], object]) -> None:
    def target(folder: Path) -> Callable[[], object]:
        (folder / "number.txt").write_text("0")
        acts = iter([lambda folder: None, act])  # the whole file is read first
        return lambda: next(acts)(folder)

    outcomes, bad = fuzz.fuzz(target, 1)
    assert outcomes == {outcome: 1}
    assert len(bad) == (outcome not in ("read", "skipped", "refused"))
