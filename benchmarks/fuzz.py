"""Damaged and hostile files against everything that reads files: one table of what becomes of them.

    python benchmarks/fuzz.py --inputs 2000

Whole files are made, one of them is changed at random, and read. That happens in a process with
6 GiB of address space and 10 s of processor time for each input (a minute in all, so that a busy
machine does not look like a hang), which may die: then another goes on. Columns:

    read        something was read; what was damaged may have been left out
    skipped     the damaged part is listed with its reason
    refused     an error of a documented type, under 500 characters, that names a file
    unclear     any other error
    hang, memory, crash     10 s were not enough, 6 GiB were not enough, or the process died
    code        a process was started or a library loaded
    outside     a file was written or deleted outside the folder

All columns after the third must be zero. A target is one function in the table of
``_fuzz_targets.py``: it writes whole files into a folder and returns a function that reads them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _fuzz_changes import change
from _fuzz_targets import TARGETS, Make, Target

from pyg_fsar.training import format_table

OUTCOMES = (
    *("read", "skipped", "refused"),
    *("unclear", "hang", "memory", "crash", "code", "outside"),
)
ADDRESS_SPACE, SECONDS, WALL_SECONDS = 6 * 2**30, 10, 60
DOCUMENTED = (ValueError, RuntimeError, OSError)


def classify(error: BaseException, folder: Path) -> str:
    text = str(error)
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return "memory"
    names = {path.name for path in folder.rglob("*")} | {folder.name}
    named = isinstance(error, DOCUMENTED) and any(name in text for name in names)
    return "refused" if named and len(text) < 500 else "unclear"


def work(make: Make, numbers: range, seed: int, folder: Path, reports: Connection) -> None:
    """Read one input after the other, in a process that may die of it."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with (folder / "printed.txt").open("a") as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
    inside, outside = folder / "inside", folder / "outside"
    outside.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(inside, ignore_errors=True)
    inside.mkdir()
    made = make(inside)
    target = made if isinstance(made, Target) else Target(made)
    whole = {path: path.read_bytes() for path in sorted(inside.rglob("*")) if path.is_file()}
    damageable = [path for path in sorted(inside.glob(target.files)) if path in whole]
    target.read()  # what is whole can be read
    seen: list[str] = []
    watch(inside, seen)
    for number in numbers:
        rng = np.random.default_rng([seed, number])
        shutil.rmtree(inside)
        for path, content in whole.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        chosen = damageable[rng.integers(len(damageable))]
        while chosen.read_bytes() == whole[chosen]:
            for _ in range(int(rng.integers(1, 3))):
                chosen.write_bytes(change(chosen.read_bytes(), rng, outside))
        if target.repair is not None and rng.random() < 0.5:
            target.repair()
        (outside / "precious.txt").write_text("years of work")
        reports.send((number, "begun", ""))
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.alarm(WALL_SECONDS)
        seen.clear()
        detail = ""
        try:
            result = target.read()
            outcome = result if isinstance(result, str) and result in OUTCOMES else "read"
        except BaseException as error:
            outcome, detail = classify(error, inside), f"{chosen.name}: {error!r:.300}"
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        found = list(seen)
        seen.clear()
        changed = [path.name for path in outside.iterdir()] != ["precious.txt"]
        if any(event.startswith("code") for event in found):
            outcome, detail = "code", str(found[:3])
        elif found or changed or (outside / "precious.txt").read_text() != "years of work":
            outcome, detail = "outside", str(found[:3])
        reports.send((number, outcome, detail))
    os._exit(0)


def watch(inside: Path, seen: list[str]) -> None:
    """Note processes and changes of files outside a folder."""
    run = (
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.spawn",
        "subprocess.Popen",
        "ctypes.dlopen",
    )
    write = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "shutil.rmtree", "os.truncate")

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event in run:
            seen.append(f"code: {event} {arguments!r:.100}")
        is_open = event == "open" and isinstance(arguments[2], int)
        writes = is_open and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        inner = event in write and arguments[-1] not in (-1, arguments[0])  # of a shutil.rmtree
        if (writes or (event in write and not inner)) and isinstance(arguments[0], str | Path):
            path = str(Path(arguments[0]).resolve())
            if not path.startswith((str(inside), os.devnull)):
                seen.append(f"outside: {event} {path}")

    sys.addaudithook(note)


def fuzz(make: Make, inputs: int, seed: int = 0) -> tuple[Counter[str], list[str]]:
    """Try a target.

    Args:
        make: The target.
        inputs: Number of inputs.
        seed: Decides them all.

    Returns:
        How often each outcome came, and what came instead of the first three.
    """
    outcomes: Counter[str] = Counter()
    bad: list[str] = []
    begun = 0
    with tempfile.TemporaryDirectory() as folder:
        while begun < inputs:
            receive, send = multiprocessing.Pipe(duplex=False)
            process = multiprocessing.get_context("fork").Process(
                target=work, args=(make, range(begun, inputs), seed, Path(folder).resolve(), send)
            )
            process.start()
            send.close()
            number, outcome, detail = begun, "begun", ""
            try:
                while True:
                    number, outcome, detail = receive.recv()
                    begun = number + 1
                    if outcome != "begun":
                        outcomes[outcome] += 1
                        if outcome not in OUTCOMES[:3]:
                            bad.append(f"input {number}: {outcome}: {detail}")
            except EOFError:
                process.join()
            if outcome == "begun":
                if process.exitcode == 1:
                    printed = (Path(folder) / "printed.txt").read_text().strip()
                    raise RuntimeError(f"failed at input {number}: {printed[-2000:]}")
                code = process.exitcode or 0
                hang = {-signal.SIGALRM: "hang", -signal.SIGPROF: "hang"}
                outcome = {**hang, -signal.SIGKILL: "memory"}.get(code, "crash")
                outcomes[outcome] += 1
                bad.append(f"input {number}: {outcome}: exit status {code}")
    return outcomes, bad


def row(name: str, outcomes: Mapping[str, int]) -> dict[str, str]:
    return {"target": name, **{outcome: str(outcomes.get(outcome, 0)) for outcome in OUTCOMES}}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=2000, help="for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--details", type=int, default=5, help="bad outcomes to show, a target")
    options = parser.parse_args()
    rows, all_good = [], True
    for name in options.targets:
        start = time.perf_counter()
        outcomes, bad = fuzz(TARGETS[name], options.inputs, options.seed)
        all_good &= not bad
        rows.append(row(name, outcomes))
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
        for line in bad[: options.details]:
            print(f"  {line}", file=sys.stderr)
    print(format_table(rows))
    return 0 if all_good else 1


if __name__ == "__main__":
    sys.exit(main())
