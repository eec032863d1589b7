"""Frame costs and soft-DTW of one episode, beside the shape of the public code.

Run with ``python benchmarks/matching.py``. The reference cost expands query and prototype frames
to all pairs of them before it takes the cosine, which at 30 frames needs 5.4 GiB for each of
several tensors: there both candidates get a tenth of the queries. The reference soft-DTW is the
recursion in plain autograd, all pairs side by side. "Largest" is the largest tensor that any
operation of forward and backward returns.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from _timing import compare, print_table
from torch import Tensor
from torch.nn.functional import cosine_similarity
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pyg_fsar.matching import cosine_cost, otam, soft_dtw


class LargestTensor(TorchDispatchMode):
    """Records the largest storage behind what any operation returns, in bytes."""

    largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest, tensor.untyped_storage().nbytes())
        return result


def expanded_cost(query: Tensor, support: Tensor) -> Tensor:
    x, y = query.flatten(2), support.flatten(2)
    shape = (len(x), len(y), x.size(1), y.size(1))
    x = x[:, None, :, None].expand(*shape, -1).reshape(-1, x.size(-1))
    y = y[None, :, None].expand(*shape, -1).reshape(-1, y.size(-1))
    return (1 - cosine_similarity(x, y, dim=-1)).view(shape)


def plain_soft_dtw(cost: Tensor, gamma: float) -> Tensor:
    cells: dict[tuple[int, int], Tensor] = {(-1, -1): cost.new_zeros(cost.shape[:-2])}
    for i in range(cost.size(-2)):
        for j in range(cost.size(-1)):
            before = [cells[c] for c in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if c in cells]
            least = -gamma * torch.logsumexp(-torch.stack(before) / gamma, dim=0)
            cells[i, j] = cost[..., i, j] + least
    return cells[cost.size(-2) - 1, cost.size(-1) - 1]


def with_backward(distance: Callable[[], Tensor], leaves: tuple[Tensor, ...]) -> Callable[[], None]:
    def run() -> None:
        for leaf in leaves:
            leaf.grad = None
        distance().sum().backward()

    return run


def report(title: str, reference: str, candidates: dict[str, Callable[[], None]], n: int) -> None:
    print(f"\n{title}")
    print_table(compare(candidates, repeats=n), reference)


def benchmark(frames: int, args: argparse.Namespace) -> None:
    query = torch.randn(args.queries, frames, 25, 256, requires_grad=True)
    support = torch.randn(args.way, frames, 25, 256, requires_grad=True)

    few = query if frames <= 8 else query[: args.queries // 10].detach().requires_grad_()

    def reference() -> Tensor:
        return plain_soft_dtw(expanded_cost(few, support), args.gamma)

    def ours() -> Tensor:
        return soft_dtw(cosine_cost(few, support), args.gamma)

    leaves = (few, support)
    runs = {"expanded": with_backward(reference, leaves), "pyg_fsar": with_backward(ours, leaves)}
    report(
        f"{frames} frames: cost matrix and soft-DTW, {len(few)} x {args.way} pairs",
        "expanded",
        runs,
        args.repeats,
    )
    embeddings = sum(leaf.untyped_storage().nbytes() for leaf in leaves)
    for name, run in runs.items():
        with LargestTensor() as record:
            run()
        megabytes, times = record.largest / 2**20, record.largest / embeddings
        print(f"largest tensor, {name}: {megabytes:.1f} MiB, {times:.2f} times the embeddings")

    cost = cosine_cost(query, support).detach().requires_grad_()
    report(
        f"{frames} frames: soft-DTW alone",
        "plain autograd",
        {
            "plain autograd": with_backward(lambda: plain_soft_dtw(cost, args.gamma), (cost,)),
            "soft_dtw": with_backward(lambda: soft_dtw(cost, args.gamma), (cost,)),
            "(otam)": with_backward(lambda: otam(cost), (cost,)),
        },
        20 * args.repeats,  # milliseconds each, so single runs say little
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--way", type=int, default=5)
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 30])
    parser.add_argument("--gamma", type=float, default=0.1)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for frames in args.frames:
        benchmark(frames, args)


if __name__ == "__main__":
    main()
