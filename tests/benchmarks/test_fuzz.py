"""A short run of ``benchmarks/fuzz.py``: damaged files are read, skipped or refused."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import fuzz
import pytest
from _fuzz_targets import NEEDS

INPUTS = 20
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each input needs a process")


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_nothing_but_read_skipped_or_refused(name: str) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    outcomes, bad = fuzz.fuzz(fuzz.TARGETS[name], INPUTS)
    assert not bad, "\n".join(bad)
    assert sum(outcomes.values()) == INPUTS


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
