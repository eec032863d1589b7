"""One training step of ST-GCN, soft-DTW and RankMax, beside the shape of the public code.

Run with ``python benchmarks/episode_step.py``. A step is forward, loss, backward and Adam of
ST-GCN, soft-DTW divergence and RankMax on a 5-way 1-shot episode with 10 queries per class: 55
one-body clips of 30 frames and 25 joints. The reference pads clips to two bodies, works channels
first with ``conv2d`` and ``einsum``, expands every pair of frames for the cosine, and penalises
frames in a Python loop. Times are processor time on one thread. With spatial activation see
``matcher.py``.

Memory is the growth of the process's peak resident size (``ru_maxrss``) over one step in a fresh
process: over the whole step, and from the moment the embeddings exist (with all that the encoder
keeps for its gradient) to the end, which is what costs, alignment and penalty add.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from _episode import (
    CLIPS,
    FRAMES,
    WAY,
    Ours,
    Reference,
    ReferenceHead,
    heads_differ_by,
    peak_memory,
    released_matcher,
    report,
    report_memory,
)
from torch import nn


def candidates(bf16: bool) -> dict[str, Callable[[], nn.Module]]:
    suffix = ", bf16" if bf16 else ""
    return {
        f"reference{suffix}": lambda: Reference(ReferenceHead(activation=False)),
        f"pyg_fsar{suffix}": lambda: Ours(released_matcher(activation=False)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--bf16", action="store_true", help="also under bfloat16 autocast")
    parser.add_argument("--memory-of", metavar="NAME", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    models = candidates(False) | candidates(True)
    if args.memory_of:
        report_memory(models[args.memory_of](), args.memory_of.endswith("bf16"))
        return
    models = models if args.bf16 else candidates(False)
    memory = {name: peak_memory(__file__, name) for name in models}
    loss, grad = heads_differ_by(activation=False)
    print(f"on equal embeddings the losses differ by {loss:.1e}, their gradients by {grad:.1e}")
    title = (
        f"{WAY}-way 1-shot, {CLIPS} one-body clips of {FRAMES} frames: ST-GCN, soft-DTW, RankMax"
    )
    report(title, models, memory, args.repeats)


if __name__ == "__main__":
    main()
