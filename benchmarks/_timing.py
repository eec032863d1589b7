"""Timing shared by the benchmarks: candidates take turns in one process, on one thread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

__all__ = ["compare", "print_table"]


def compare(
    candidates: dict[str, Callable[[], object]],
    repeats: int = 5,
    warmup: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of each candidate; all take turns, so that a busy machine slows all alike.

    With ``clock=time.process_time`` it is processor time, which other programs hardly change.
    """
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for repeat in range(warmup + repeats):
        for name, run in candidates.items():
            start = clock()
            run()
            if repeat >= warmup:
                seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def print_table(medians: dict[str, float], reference: str) -> None:
    """Print the medians, and how many times as fast as the reference each candidate is."""
    width = max(len(name) for name in medians)
    print(f"{'':{width}}  {'median ms':>10}  {'times as fast':>13}")
    for name, seconds in medians.items():
        ratio = medians[reference] / seconds
        print(f"{name:{width}}  {1e3 * seconds:10.1f}  {ratio:13.2f}")
