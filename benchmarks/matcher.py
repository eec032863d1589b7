"""The method of Ma et al. (ECCV 2022) with spatial activation, beside the form that was released.

Run with ``python benchmarks/matcher.py``. A step is forward, loss, backward and Adam of spatial
activation, soft-DTW and RankMax on a 5-way 1-shot episode with 10 queries per class: first from 55
embeddings of 8 frames, 25 joints and 256 channels, then from the clips, through ST-GCN. The
reference computes all linear maps anew for each of the 250 pairs of clips, expands every pair of
frames for the cosine, aligns cell by cell in autograd, penalises frames in a Python loop, and pads
clips to two bodies. "Plain torch" is this package without its compiled kernels. Times are processor
time on one thread; for memory see ``episode_step.py``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from _episode import (
    CLIPS,
    EMBEDDED,
    HeadAlone,
    Ours,
    Reference,
    ReferenceHead,
    heads_differ_by,
    peak_memory,
    released_matcher,
    report,
    report_memory,
)
from torch import Tensor, nn

from pyg_fsar.kernels import use_backend


class InPlainTorch(nn.Module):
    """A model without compiled kernels."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self) -> Tensor:
        """Loss of the episode."""
        with use_backend("vectorised"):
            return self.model()


HEADS: dict[str, Callable[[], nn.Module]] = {
    "reference": lambda: HeadAlone(ReferenceHead(activation=True)),
    "plain torch": lambda: InPlainTorch(HeadAlone(released_matcher(activation=True))),
    "pyg_fsar": lambda: HeadAlone(released_matcher(activation=True)),
}
STEPS: dict[str, Callable[[], nn.Module]] = {
    "whole reference": lambda: Reference(ReferenceHead(activation=True)),
    "whole pyg_fsar": lambda: Ours(released_matcher(activation=True)),
    "whole pyg_fsar, bf16": lambda: Ours(released_matcher(activation=True)),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory-of", metavar="NAME", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if args.memory_of:
        make = (HEADS | STEPS)[args.memory_of]
        report_memory(make(), args.memory_of.endswith("bf16"))
        return
    memory = {name: peak_memory(__file__, name) for name in HEADS | STEPS}
    loss, grad = heads_differ_by(activation=True)
    print(f"without dropout losses differ by {loss:.1e}, gradients by {grad:.1e}")
    shape = " x ".join(map(str, EMBEDDED))
    report(f"From {CLIPS} embeddings of {shape}", HEADS, memory, args.repeats)
    report("From clips, through ST-GCN", STEPS, memory, args.repeats)


if __name__ == "__main__":
    main()
