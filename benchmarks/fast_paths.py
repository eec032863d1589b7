"""What each fast path of this package gives to the full method, one at a time.

Run with ``python benchmarks/fast_paths.py``, and for processors without AVX-512 with
``ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 python benchmarks/fast_paths.py``. The method is
ST-GCN, spatial activation, soft-DTW and RankMax on a 5-way 1-shot episode with 10 queries per
class. Measured are a training step (forward, loss, backward, Adam), inference (encoding all clips
and matching them, without gradients) and the matching of clips that are encoded already, which is
what an evaluation repeats.

With and without a path take turns in one process on one thread. A table gives the median of the
ratios of neighbours in time of the thread and of the wall clock, their spread, and what the path
saves of the whole: ``1 - with / without``. ``--memory`` adds the growth of peak memory over a
training step, each in a process of its own.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from unittest.mock import patch

import torch
from _episode import EPISODE, WAY, Ours, peak_memory, released_matcher, report_memory, training_step
from torch import Tensor, nn

from pyg_fsar.kernels import use_backend


def replaced(module: str, name: str, value: object) -> Callable[[], AbstractContextManager]:
    """Give a choice in a module always the same answer."""
    return lambda: patch.object(sys.modules[f"pyg_fsar.{module}"], name, lambda *_: value)


# How to do without each path.
WITHOUT: dict[str, Callable[[], AbstractContextManager]] = {
    "activation": replaced("matching.costs.activated", "has_kernel", False),
    "norm_relu": replaced("nn.norm.apply_norm", "has_kernel", False),
    "short_conv": replaced("nn.functional.short_conv", "takes_cpu_operators", False),
    "warp": replaced("kernels.warp.operators", "backend_for", "vectorised"),
    "all": lambda: use_backend("vectorised"),
}


WORKS = ["training", "inference", "matching"]


class Without(nn.Module):
    """A model that does without a path."""

    def __init__(self, model: nn.Module, path: str) -> None:
        super().__init__()
        self.model = model
        self.path = path

    def forward(self) -> Tensor:
        """Loss of the episode."""
        with WITHOUT[self.path]():
            return self.model()


def work(model: Ours) -> dict[str, Callable[[], object]]:
    """What is measured."""
    encoder, matcher = model.model.encoder, model.model.matcher
    with torch.no_grad():
        embedded = encoder.eval()(EPISODE.bodies)
    train = training_step(model)

    def match(clips: Tensor) -> Tensor:
        return matcher(clips[:WAY], EPISODE.support_y, clips[WAY:])

    def training() -> None:
        model.train()
        train()

    @torch.no_grad()
    def inference() -> Tensor:
        model.eval()
        return match(encoder(EPISODE.bodies))

    @torch.no_grad()
    def matching() -> Tensor:
        model.eval()
        return match(embedded)

    return dict(zip(WORKS, (training, inference, matching), strict=True))


def timed(function: Callable[[], object]) -> tuple[float, float]:
    """Seconds of this thread and of the clock."""
    wall, thread = time.perf_counter(), time.thread_time()
    function()
    return time.thread_time() - thread, time.perf_counter() - wall


def measure(path: str, function: Callable[[], object], repeats: int) -> str:
    """A row of the table."""
    with_path: list[tuple[float, float]] = []
    without: list[tuple[float, float]] = []
    for number in range(repeats + 1):
        first = timed(function)
        with WITHOUT[path]():
            second = timed(function)
        if number:  # the first is a warm-up
            with_path.append(first)
            without.append(second)
    ratios = [[b[k] / a[k] for a, b in zip(with_path, without, strict=True)] for k in (0, 1)]
    thread, wall = map(statistics.median, ratios)
    seconds = [statistics.median(times[0] for times in both) for both in (with_path, without)]
    return (
        f"{seconds[0]:8.3f}  {seconds[1]:8.3f}  {thread:6.2f}  {wall:6.2f}  "
        f"{min(ratios[0]):5.2f} to {max(ratios[0]):5.2f}  {1 - 1 / thread:6.1%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--paths", nargs="+", choices=WITHOUT, default=list(WITHOUT))
    parser.add_argument("--works", nargs="+", choices=WORKS, default=WORKS)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--memory-of", metavar="NAME", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Ours(released_matcher(activation=True))
    if args.memory_of:
        report_memory(Without(model, args.memory_of) if args.memory_of in WITHOUT else model, False)
        return
    if args.memory:
        for name in ("none", *args.paths):
            peak = peak_memory(__file__, name)["step"]
            print(f"peak memory of a training step without {name}: {peak:.2f} GiB", flush=True)
    print(f"instructions: {torch.backends.cpu.get_cpu_capability()}")
    print(
        f"{'':22}  {'with s':>8}  {'without':>8}  {'ratio':>6}  {'wall':>6}  {'spread':13}   saves"
    )
    for path in args.paths:
        functions = work(model)
        for name in args.works:
            row = measure(path, functions[name], args.repeats)
            print(f"{path:11} {name:10}  {row}", flush=True)


if __name__ == "__main__":
    main()
