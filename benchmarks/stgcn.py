"""Forward and backward of ST-GCN, beside the shape of the public code and its own convolutions.

Run with ``python benchmarks/stgcn.py``. The reference pads clips to two bodies and works channels
first with ``conv2d`` and ``einsum``. "Convolutions alone" are ST-GCN's temporal 9 x 1 and spatial
1 x 1 convolutions at the same sizes and nothing else, a bound on what is left to gain. Times are
processor time on one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from _reference import PLAN, ReferenceSTGCN, padded
from _timing import compare, print_table
from torch import Tensor, nn

from pyg_fsar.nn import STGCN


def forward_backward(model: nn.Module, x: Tensor, bf16: bool) -> Callable[[], None]:
    with torch.no_grad():
        grad = torch.randn_like(model(x))

    def run() -> None:
        model.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            out = model(x)
        out.backward(grad.to(out.dtype))

    return run


def convolutions_alone(clips: int, frames: int, joints: int, bf16: bool) -> Callable[[], None]:
    """All convolutions of the network, each on an input of its own, channels last."""
    steps = []

    def add(conv: nn.Conv2d, frames: int, needs_grad: bool) -> None:
        x = torch.randn(clips, frames, joints, conv.in_channels).permute(0, 3, 1, 2)
        x.requires_grad_(needs_grad)
        conv = conv.to(memory_format=torch.channels_last)
        steps.append((conv, x, torch.randn_like(conv(x))))

    width = 3
    for number, (channels, stride) in enumerate(PLAN):
        add(nn.Conv2d(width, 3 * channels, 1), frames, number > 0)
        add(nn.Conv2d(channels, channels, (9, 1), (stride, 1), (4, 0)), frames, True)
        if number > 0 and (width, stride) != (channels, 1):
            add(nn.Conv2d(width, channels, 1, (stride, 1)), frames, True)
        width, frames = channels, (frames + stride - 1) // stride

    def run() -> None:
        for conv, x, grad in steps:
            conv.zero_grad()
            x.grad = None
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                out = conv(x)
            out.backward(grad.to(out.dtype))

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=55)
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--bf16", action="store_true", help="also under bfloat16 autocast")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)

    x = torch.randn(args.clips, args.frames, 25, 3)
    candidates: dict[str, Callable[[], None]] = {}
    for bf16 in (False, True) if args.bf16 else (False,):
        suffix = ", bf16" if bf16 else ""
        candidates |= {
            f"reference{suffix}": forward_backward(ReferenceSTGCN(), padded(x), bf16),
            f"pyg_fsar{suffix}": forward_backward(STGCN("ntu25"), x, bf16),
            f"convolutions alone{suffix}": convolutions_alone(args.clips, args.frames, 25, bf16),
        }
    medians = compare(candidates, args.repeats, clock=time.process_time)
    print(f"ST-GCN forward and backward, {args.clips} one-body clips of {args.frames} frames")
    print_table(medians, "reference")
    for suffix in ("", ", bf16") if args.bf16 else ("",):
        overhead = medians[f"pyg_fsar{suffix}"] / medians[f"convolutions alone{suffix}"]
        print(f"pyg_fsar{suffix} takes {overhead:.2f} times its own convolutions alone")


if __name__ == "__main__":
    main()
