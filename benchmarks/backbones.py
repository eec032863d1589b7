"""What each backbone costs: parameters, operations, time and memory of one episode.

Run with ``python benchmarks/backbones.py``. An episode is 55 one-body clips (5-way 1-shot with 10
queries per class) of 30 frames and 25 joints; a step is forward and backward, without matching.
ST-GCN and one stream of 2s-AGCN stand beside plain channels-first implementations in the shape of
the public codes, which get the same clips as they are, or padded to two bodies as the public codes
store them.

Times are processor time on one thread; all candidates take turns. Operations are the
multiplications and additions in matrix products and convolutions of the forward pass. Memory is the
growth of the process's peak resident size (``ru_maxrss``) over one step in a fresh process.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from _reference import ReferenceAGCN, ReferenceSTGCN, padded
from _timing import compare
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torch_geometric.nn import GCN

from pyg_fsar.nn import AGCN, CTRGCN, MSG3D, STGCN, STGCNPP, FrameEncoder, SkeletonLSTM

FRAMES, JOINTS = 30, 25
BACKBONES: dict[str, Callable[[], nn.Module]] = {
    "ST-GCN, 4 blocks": partial(STGCN, "ntu25", num_blocks=4),
    "ST-GCN, 7 blocks": partial(STGCN, "ntu25", num_blocks=7),
    "ST-GCN, 10 blocks": partial(STGCN, "ntu25"),
    "2s-AGCN, one stream": partial(AGCN, "ntu25"),
    "MS-G3D, 2 stages": partial(MSG3D, "ntu25", num_stages=2),
    "MS-G3D, 3 stages": partial(MSG3D, "ntu25", num_stages=3),
    "LSTM": partial(SkeletonLSTM, "ntu25"),
    "CTR-GCN": partial(CTRGCN, "ntu25"),
    "ST-GCN++": partial(STGCNPP, "ntu25"),
    "FrameEncoder(GCN)": lambda: FrameEncoder(GCN(3, 64, num_layers=3), "ntu25"),
}
# References, and whose they are.
REFERENCES: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "ST-GCN, channels first": (ReferenceSTGCN, "ST-GCN, 10 blocks"),
    "2s-AGCN, channels first": (ReferenceAGCN, "2s-AGCN, one stream"),
}


def candidate(name: str, clips: int, device: str = "cpu") -> tuple[nn.Module, Tensor]:
    """A model and its input."""
    x = torch.randn(clips, FRAMES, JOINTS, 3, device=device)
    reference = name.removesuffix(", padded")
    if reference not in REFERENCES:
        return BACKBONES[name]().to(device), x
    x = padded(x) if name != reference else x.permute(0, 3, 1, 2).unsqueeze(-1)
    return REFERENCES[reference][0]().to(device), x


def step_of(name: str, clips: int) -> Callable[[], None]:
    model, x = candidate(name, clips)

    def step() -> None:
        model.zero_grad()
        model(x).square().mean().backward()

    return step


def operations(name: str, clips: int) -> tuple[float, list[int]]:
    """Operations of the forward pass, and the shape that it gives a clip."""
    # Message passing looks at the edges, which a tensor without values does not have.
    model, x = candidate(name, clips, device="cpu" if name.startswith("FrameEncoder") else "meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        out = model(x)
    return counter.get_total_flops(), list(out.shape[1:])


def peak_memory(name: str, clips: int) -> float:
    """Growth of peak memory in GiB over a step, measured in a process of its own."""
    command = [sys.executable, __file__, "--clips", str(clips), "--memory-of", name]
    return float(subprocess.run(command, check=True, capture_output=True).stdout)


def report_memory(name: str, clips: int) -> None:
    step = step_of(name, clips)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20)


def print_row(cells: list[str], width: int) -> None:
    print(f"{cells[0]:{width}}", *(f"{cell:>13}" for cell in cells[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=55)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=BACKBONES, help="some of the backbones")
    parser.add_argument("--memory-of", metavar="NAME", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if args.memory_of:
        report_memory(args.memory_of, args.clips)
        return

    names = args.only or list(BACKBONES)
    ours = {reference: our for reference, (_, our) in REFERENCES.items() if our in names}
    ours |= {f"{reference}, padded": our for reference, our in ours.items()}
    # Memory first: a new process starts with the peak of the one that started it.
    memory = {name: peak_memory(name, args.clips) for name in (*names, *ours)}
    steps = {name: step_of(name, args.clips) for name in memory}
    medians = compare(steps, args.repeats, clock=time.process_time)

    print(f"one episode, {args.clips} one-body clips of {FRAMES} frames and {JOINTS} joints\n")
    width = max(map(len, memory))
    print_row(["", "parameters", "GFLOP", "clip becomes", "step s", "memory GiB"], width)
    for name in memory:
        flops, shape = operations(name, args.clips)
        parameters = sum(parameter.numel() for parameter in candidate(name, 1)[0].parameters())
        print_row(
            [
                name,
                f"{parameters:,}",
                f"{flops / 1e9:.1f}",
                " x ".join(map(str, shape)),
                f"{medians[name]:.2f}",
                f"{memory[name]:.2f}",
            ],
            width,
        )
    for reference, our in ours.items():
        print(
            f"\n{our}: {medians[reference] / medians[our]:.2f} times as fast as {reference}, with "
            f"{memory[our] / memory[reference]:.2f} times its memory",
            end="",
        )
    print()


if __name__ == "__main__":
    main()
