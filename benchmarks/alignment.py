"""Soft-DTW, OTAM and hard DTW beside other packages, and beside loops written here.

Run with ``python benchmarks/alignment.py``. All get the same frame costs and take turns, on one
thread. Each is first compared on a few pairs with the recursion in float64, cell by cell. Then one
table gives milliseconds of processor time, and for the backends of this package how many times as
fast they are as the fastest of all others. The packages to compare with, of which those that are
missing are left out::

    pip install "pyg-fsar[benchmarks]"

"numba" is a serial loop over pairs and cells, "autograd" the recursion in torch over all pairs at
once, without a backward of its own, and only as far as that takes seconds. "-" means that there is
no such method, or not the memory for it. Two packages compute something else, which the comparison
undoes: torchdtw (for Python 3.12 and newer) divides by the number of cells of the path, and
dtaidistance takes the root, and gets series in float64 from which it computes the costs by itself.
Neither has a gradient. A second table shows what a Sakoe-Chiba band saves on the backend that is
chosen for the device: how many times as fast soft-DTW and DTW are with it as without.

With ``--device cuda`` the peers are pysdtw's CUDA kernels, torchdtw's and autograd, and the last
column is how many times as long as a copy of the bytes that have to move the Triton kernels take.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from itertools import product
from typing import Any, NamedTuple

# Numba's default threads slow torch's own down; this has to be said before numba is imported.
os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")

import torch
from _timing import compare
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from pyg_fsar.kernels import backend_for, use_backend
from pyg_fsar.matching import dtw, otam, soft_dtw

# The recursion (cost, gamma, free_ends) -> total of each pair, free ends as in OTAM.
Recursion = Callable[[Tensor, float, bool], Tensor]

PACKAGES = ("numba", "pysdtw", "tslearn", "dtaidistance", "torchdtw")
PEERS = ("pysdtw", "tslearn", "dtaidistance", "torchdtw", "numba", "autograd")
BACKENDS = {"cpu": ("vectorised", "cpp"), "cuda": ("vectorised", "triton")}
QUERIES = 50
# Beyond this length autograd, cell by cell, takes minutes and most of the memory.
LONGEST_AUTOGRAD = 30


class Pairs(NamedTuple):
    """Series of one channel, and the squared differences of all pairs of them as frame costs."""

    query: Tensor
    support: Tensor
    cost: Tensor

    @classmethod
    def random(cls, queries: int, ways: int, frames: int, device: str) -> Pairs:
        """All pairs of some queries and supports."""
        query, support = torch.rand(queries, frames), torch.rand(ways, frames)
        cost = (query[:, None, :, None] - support[None, :, None]).square().flatten(0, 1)
        return cls(query, support, cost.to(device).requires_grad_())


class Method(NamedTuple):
    """An aligner of this package, and the same by any recursion."""

    name: str
    gamma: float
    ours: Callable[[Tensor], Tensor]
    has_gradient: bool = True

    def by(self, recursion: Recursion) -> Callable[[Tensor], Tensor]:
        """The same distance, by a recursion that is not ours."""
        if self.name != "OTAM":
            return lambda cost: recursion(cost, self.gamma, False)
        return lambda cost: (
            recursion(pad(cost, (1, 1)), self.gamma, True)
            + recursion(pad(cost.mT, (1, 1)), self.gamma, True)
        )

    def cells(self, frames: int) -> int:
        """Number of cells that a pair has."""
        return 2 * frames * (frames + 2) if self.name == "OTAM" else frames**2


def plain(cost: Tensor, gamma: float, free_ends: bool) -> Tensor:
    """The recursion, one torch operation after the other."""
    columns = cost.size(2)
    cells: dict[tuple[int, int], Tensor] = {(-1, -1): cost.new_zeros(len(cost))}
    for i in range(cost.size(1)):
        for j in range(columns):
            before = [(i - 1, j - 1), (i, j - 1)]
            if not free_ends or j <= 1 or j == columns - 1:
                before.append((i - 1, j))
            totals = torch.stack([cells[cell] for cell in before if cell in cells])
            least = -gamma * (-totals / gamma).logsumexp(0) if gamma else totals.amin(0)
            cells[i, j] = cost[:, i, j] + least
    return cells[cost.size(1) - 1, columns - 1]


@cache
def serial() -> Recursion:
    """The recursion as a serial loop in numba, its backward from the accumulated costs."""
    import math

    import numba
    import numpy as np

    numba.set_num_threads(1)

    @numba.njit
    def forward(cost: Any, gamma: float, free_ends: bool) -> Any:
        pairs, rows, columns = cost.shape
        total = np.full((pairs, rows + 1, columns + 1), np.inf, cost.dtype)
        for b in range(pairs):
            total[b, 0, 0] = 0
            for i in range(rows):
                for j in range(columns):
                    diagonal, left = total[b, i, j], total[b, i + 1, j]
                    up = total[b, i, j + 1]
                    if free_ends and 1 < j < columns - 1:
                        up = np.inf
                    least = min(diagonal, min(up, left))
                    if gamma > 0:
                        least -= gamma * math.log(
                            math.exp((least - diagonal) / gamma)
                            + math.exp((least - up) / gamma)
                            + math.exp((least - left) / gamma)
                        )
                    total[b, i + 1, j + 1] = cost[b, i, j] + least
        return total

    @numba.njit
    def backward(cost: Any, total: Any, gamma: float, free_ends: bool) -> Any:
        pairs, rows, columns = cost.shape
        share = np.zeros_like(cost)
        for b in range(pairs):
            share[b, rows - 1, columns - 1] = 1
            for i in range(rows - 1, -1, -1):
                for j in range(columns - 1, -1, -1):
                    here = total[b, i + 1, j + 1]
                    if i + 1 < rows and j + 1 < columns:
                        least = total[b, i + 2, j + 2] - cost[b, i + 1, j + 1]
                        share[b, i, j] += share[b, i + 1, j + 1] * math.exp((least - here) / gamma)
                    if j + 1 < columns:
                        least = total[b, i + 1, j + 2] - cost[b, i, j + 1]
                        share[b, i, j] += share[b, i, j + 1] * math.exp((least - here) / gamma)
                    if i + 1 < rows and not (free_ends and 1 < j < columns - 1):
                        least = total[b, i + 2, j + 1] - cost[b, i + 1, j]
                        share[b, i, j] += share[b, i + 1, j] * math.exp((least - here) / gamma)
        return share

    class Serial(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, cost: Tensor, gamma: float, free_ends: bool) -> Tensor:
            ctx.cost, ctx.options = cost.detach().numpy(), (gamma, free_ends)
            ctx.total = forward(ctx.cost, *ctx.options)
            return torch.from_numpy(ctx.total[:, -1, -1].copy())

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
            share = torch.from_numpy(backward(ctx.cost, ctx.total, *ctx.options))
            return share.mul_(grad[:, None, None]), None, None

    return Serial.apply


def peer(name: str, method: Method, pairs: Pairs) -> Callable[[Tensor], Tensor] | None:
    """Distance by a peer, or None where it has no such method.

    Raises:
        ImportError: If the package is missing.
    """
    device, frames = pairs.cost.device.type, pairs.cost.size(-1)
    if name == "autograd":
        return method.by(plain) if frames <= LONGEST_AUTOGRAD else None
    if name == "numba" and device == "cpu":
        return method.by(serial())
    if name == "pysdtw" and method.name == "soft-DTW":
        # The second argument only has to have the shape of a batch of series.
        layer = import_module(name).SoftDTW(method.gamma, lambda x, _: x, device == "cuda")
        return lambda cost: layer(cost, cost)
    if name == "tslearn" and method.name == "soft-DTW" and device == "cpu":
        loss = import_module("tslearn.metrics").SoftDTWLossPyTorch
        layer = loss(method.gamma, dist_func=lambda x, _: x)
        return lambda cost: layer(cost, cost)
    if name == "torchdtw" and method.name == "DTW":
        batch = import_module(name).dtw_batch
        shape = (len(pairs.query), len(pairs.support), frames, frames)
        n, m = (torch.full((size,), frames, device=device) for size in shape[:2])
        return lambda cost: batch(cost.detach().view(shape), n, m, symmetric=False).flatten()
    if name == "dtaidistance" and method.name == "DTW" and device == "cpu":
        matrix = import_module("dtaidistance.dtw").distance_matrix_fast
        series = torch.cat([pairs.query, pairs.support]).double().numpy()
        block = ((0, len(pairs.query)), (len(pairs.query), len(series)))
        return lambda _: torch.frombuffer(
            matrix(series, block, compact=True, parallel=False), dtype=torch.float64
        )
    return None


def candidates(method: Method, pairs: Pairs) -> dict[str, Callable[[Tensor], Tensor]]:
    """All that can compute this here, peers first."""
    found = {}
    for name in PEERS:
        try:
            distance = peer(name, method, pairs)
        except ImportError:
            continue
        if distance is not None:
            found[name] = distance
    for name in backends(pairs.cost.device.type):
        # What would be chosen anyway is not forced, which itself takes microseconds.
        chosen = backend_for(pairs.cost) == name
        found[name] = method.ours if chosen else within(name, method.ours)
    return found


def within(backend: str, distance: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def run(cost: Tensor) -> Tensor:
        with use_backend(backend):
            return distance(cost)

    return run


@cache
def backends(device: str) -> list[str]:
    """Backends of this package that can run here."""
    found = []
    for name in BACKENDS[device]:
        try:
            with use_backend(name):
                found.append(name)
        except RuntimeError as error:
            print(error)
    return found


def check(method: Method, frames: int, device: str) -> None:
    """Print how far each is from the recursion in float64, at most, on four pairs."""
    pairs = Pairs.random(2, 2, frames, device)
    cost = pairs.cost.detach().double().requires_grad_()
    total = method.by(plain)(cost)
    (share,) = torch.autograd.grad(total.sum(), cost)
    print(f"{method.name} {frames} x {frames}, largest difference relative to float64:")
    for name, distance in candidates(method, pairs).items():
        value = distance(pairs.cost)
        if name == "torchdtw":
            value = value * share.sum((1, 2))
        if name == "dtaidistance":
            value = value.square()
        line = f"  {name:12}  value {float(((value - total) / total).abs().max()):.0e}"
        if method.has_gradient:
            (grad,) = torch.autograd.grad(value.sum(), pairs.cost)
            line += f"  gradient {float((grad - share).abs().max() / share.abs().max()):.0e}"
        print(line)


def measure(
    distances: dict[str, Callable[[Tensor], Tensor]], cost: Tensor, repeats: int
) -> dict[str, float]:
    """Seconds of all that have the memory for it, with their backward pass if the cost requires a
    gradient; processor time, unless it is a GPU's.
    """

    def timed(distance: Callable[[Tensor], Tensor]) -> Callable[[], None]:
        def run() -> None:
            cost.grad = None
            total = distance(cost)
            if cost.requires_grad:
                total.sum().backward()
            if cost.is_cuda:
                torch.cuda.synchronize()

        return run

    clock = time.perf_counter if cost.is_cuda else time.process_time
    fitting = {}
    for name, distance in distances.items():
        run = timed(distance)
        try:
            run()
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "memory" not in str(error):
                raise
            continue
        fitting[name] = run
    # What is short is timed more often, a second for each or so.
    longest = max(compare(fitting, repeats=1, warmup=0, clock=clock).values())
    return compare(fitting, max(repeats, min(50, int(1 / longest))), warmup=0, clock=clock)


def copy_seconds(device: str) -> float:
    """Seconds to read and write one byte on a GPU."""
    source = torch.empty(2**30, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def run() -> None:
        target.copy_(source)
        torch.cuda.synchronize()

    return compare({"copy": run})["copy"] / (2 * len(source))


def benchmark(methods: tuple[Method, ...], args: argparse.Namespace) -> None:
    ours = backends(args.device)
    columns = [(name, max(10, len(name) + 2)) for name in PEERS]
    columns += [column for name in ours for column in ((name, 12), (f"{name} times", 7))]
    if args.device == "cuda":
        per_byte = copy_seconds(args.device)
        columns.append(("copies", 9))
    print(
        f"{'ms, and times the fastest peer':34}"
        + "".join(f"{n.split()[-1]:>{w}}" for n, w in columns)
    )
    for method, ways, frames in product(methods, args.ways, args.frames):
        pairs = Pairs.random(QUERIES, ways, frames, args.device)
        for with_backward in (False, True)[: 1 + method.has_gradient]:
            cost = pairs.cost if with_backward else pairs.cost.detach()
            seconds = measure(candidates(method, pairs), cost, args.repeats)
            cells = {name: f"{1e3 * value:.2f}" for name, value in seconds.items()}
            fastest = min((seconds[name] for name in PEERS if name in seconds), default=None)
            for name in seconds.keys() & set(ours) if fastest else ():
                cells[f"{name} times"] = f"{fastest / seconds[name]:.1f}"
            if "triton" in seconds:
                # Costs in; for a gradient also three weights out and in, and the gradient out.
                moved = (32 if with_backward else 4) * method.cells(frames) * len(pairs.cost)
                cells["copies"] = f"{seconds['triton'] / (moved * per_byte):.1f}"
            row = "".join(f"{cells.get(name, '-'):>{width}}" for name, width in columns)
            print(f"{label(method.name, cost):34}{row}", flush=True)


def benchmark_band(args: argparse.Namespace) -> None:
    banded: dict[str, Callable[..., Tensor]] = {
        "soft-DTW": lambda cost, band: soft_dtw(cost, args.gamma, band=band),
        "DTW": lambda cost, band: dtw(cost, band=band),
    }
    print(f"\n{'ms, and times as fast':34}{'no band':>10}{'band':>10}{'times':>10}")
    for (name, aligner), ways, frames in product(banded.items(), args.ways, args.frames):
        pairs = Pairs.random(QUERIES, ways, frames, args.device)
        radius = max(1, round(args.band * frames))
        for cost in (pairs.cost.detach(), pairs.cost):
            distances = {
                "no band": partial(aligner, band=None),
                "band": partial(aligner, band=radius),
            }
            seconds = measure(distances, cost, args.repeats)
            row = "".join(f"{1e3 * value:10.2f}" for value in seconds.values())
            times = seconds["no band"] / seconds["band"]
            print(f"{label(name, cost):34}{row}{times:10.1f}", flush=True)


def label(name: str, cost: Tensor) -> str:
    """First column of a row."""
    passes = "both" if cost.requires_grad else "forward"
    return f"{name} {' x '.join(map(str, cost.shape))}, {passes}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--ways", type=int, nargs="+", default=[5, 25], help="supports, of 50 queries"
    )
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 30, 64, 256])
    parser.add_argument("--gamma", type=float, default=0.1)
    parser.add_argument("--lam", type=float, default=0.1)
    parser.add_argument("--band", type=float, default=0.1, help="radius, of the number of frames")
    parser.add_argument("--repeats", type=int, default=3, help="at least; more of what is short")
    parser.add_argument("--device", choices=BACKENDS, default="cpu")
    parser.add_argument("--memory", type=float, default=16, help="GiB of addresses, on the CPU")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if args.device == "cpu":
        # What needs more fails, and is left out, before it slows the machine for all.
        most = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (int(args.memory * 2**30), most))
    for name in PACKAGES:
        if find_spec(name) is None:
            print(f"{name} is missing: pip install {name}")
    methods = (
        Method("soft-DTW", args.gamma, lambda cost: soft_dtw(cost, args.gamma)),
        Method("OTAM", args.lam, lambda cost: otam(cost, args.lam)),
        Method("DTW", 0.0, dtw, has_gradient=False),
    )
    for method, frames in product(methods, args.frames):
        check(method, frames, args.device)
    benchmark(methods, args)
    benchmark_band(args)


if __name__ == "__main__":
    main()
