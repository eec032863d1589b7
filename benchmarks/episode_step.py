"""One training step of the method of Ma et al. (ECCV 2022), beside the shape of the public code.

Run with ``python benchmarks/episode_step.py``. A step is forward, loss, backward and Adam of
ST-GCN, soft-DTW divergence and RankMax on a 5-way 1-shot episode with 10 queries per class: 55
one-body clips of 30 frames and 25 joints. The reference pads clips to two bodies, works channels
first with ``conv2d`` and ``einsum``, expands every pair of frames for the cosine, and penalises
frames in a Python loop. Times are processor time on one thread.

Memory is the growth of the process's peak resident size (``ru_maxrss``) over one step in a fresh
process: over the whole step, and from the moment the embeddings exist (with all that the encoder
keeps for its gradient) to the end, which is what costs, alignment and penalty add.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from _reference import ReferenceSTGCN, padded
from _timing import compare, print_table
from torch import Tensor, nn

from pyg_fsar.data import Episode
from pyg_fsar.matching import build_matcher
from pyg_fsar.nn import STGCN, FewShotModel, RankMax

WAY, QUERIES, FRAMES, GAMMA, WEIGHT = 5, 10, 30, 0.01, 0.1
CLIPS = WAY * (1 + QUERIES)
EPISODE = Episode(
    bodies=torch.randn(CLIPS, FRAMES, 25, 3, generator=torch.Generator().manual_seed(0)),
    body_to_clip=torch.arange(CLIPS),
    lengths=torch.full((CLIPS,), FRAMES),
    support_y=torch.arange(WAY),
    query_y=torch.arange(WAY).repeat_interleave(QUERIES),
    classes=torch.arange(WAY),
)


# The reference.


def expanded_cost(x: Tensor, y: Tensor) -> Tensor:
    """Frame costs ``[P, T, T]`` of pairs of clips ``[P, T, D]``, every pair of frames expanded."""
    pairs, frames, size = x.shape
    x = x.unsqueeze(2).expand(-1, -1, frames, -1).reshape(-1, size)
    y = y.unsqueeze(1).expand(-1, frames, -1, -1).reshape(-1, size)
    return 1 - F.cosine_similarity(x, y, dim=1).view(pairs, frames, frames)


def soft_dtw_loop(cost: Tensor) -> Tensor:
    """Soft-DTW of ``[P, T, T]`` cell by cell, gradient by autograd."""
    infinity = cost.new_full((len(cost),), torch.inf)
    above = [cost.new_zeros(len(cost))] + [infinity] * cost.size(2)
    for i in range(cost.size(1)):
        row = [infinity]
        for j in range(cost.size(2)):
            before = torch.stack([above[j], above[j + 1], row[j]])
            row.append(cost[:, i, j] - GAMMA * torch.logsumexp(-before / GAMMA, dim=0))
        above = row
    return above[-1]


def rank_loop(embeddings: Tensor) -> Tensor:
    """The released penalty of ``[B, C, T, V]``, frame by frame."""
    clips, _, frames, _ = embeddings.shape
    total = embeddings.new_zeros(())
    for clip in range(clips):
        for t in range(frames):
            frame = embeddings[clip, :, t].t().softmax(dim=1)
            norms = frame.square().sum(dim=0).sqrt().sort(descending=True).values
            total = total - norms[: min(frame.shape)].mean()
    return total / (clips * frames)


def reference_head(embeddings: Tensor) -> Tensor:
    """Loss of an episode from embeddings ``[B, C, T, V]``."""
    prototypes, queries = embeddings[:WAY], embeddings[WAY:]
    clips = embeddings.permute(0, 2, 3, 1).flatten(2)
    x = clips[WAY:].repeat_interleave(WAY, dim=0)
    y = clips[:WAY].repeat(len(queries), 1, 1)
    across, within_x, within_y = (
        soft_dtw_loop(expanded_cost(a, b)) for a, b in ((x, y), (x, x), (y, y))
    )
    logits = -(across - (within_x + within_y) / 2).view(len(queries), WAY)
    return F.cross_entropy(logits, EPISODE.query_y) + WEIGHT * (
        rank_loop(prototypes) + rank_loop(queries)
    )


class Reference(nn.Module):
    """The whole reference."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ReferenceSTGCN()
        self.bodies = padded(EPISODE.bodies)

    def forward(self) -> Tensor:
        """Loss of the episode."""
        return reference_head(self.encoder(self.bodies))


# This package.


class Ours(nn.Module):
    """The same through the package's own model."""

    def __init__(self) -> None:
        super().__init__()
        matcher = build_matcher("soft_dtw", gamma=GAMMA, divergence=True)
        self.model = FewShotModel(STGCN("ntu25"), matcher, RankMax("fbnm"))
        self.encoder = self.model.encoder

    def forward(self) -> Tensor:
        """Loss of the episode."""
        return head(self.model, EPISODE)


def head(model: FewShotModel, episode: Episode) -> Tensor:
    """Loss of an episode; of its embeddings if the model's encoder is the identity."""
    logits, penalty = model(*episode.inputs())
    return F.cross_entropy(logits, episode.query_y) + WEIGHT * penalty


# What is measured.


def training_step(model: nn.Module, bf16: bool) -> Callable[[], None]:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=5e-4, fused=True)

    def run() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = model()
        loss.backward()
        optimizer.step()

    return run


def heads_differ_by() -> tuple[float, float]:
    """Difference of the two losses, and of their gradients, on the same embeddings."""
    embeddings = torch.randn(CLIPS, 8, 25, 256).relu().requires_grad_()
    model = Ours().model
    model.encoder = nn.Identity()
    loss = head(
        model, replace(EPISODE, bodies=embeddings, lengths=torch.full((CLIPS,), embeddings.size(1)))
    )
    expected = reference_head(embeddings.permute(0, 3, 1, 2))
    (grad,) = torch.autograd.grad(loss, embeddings)
    (expected_grad,) = torch.autograd.grad(expected, embeddings)
    difference = (grad - expected_grad).abs().max() / expected_grad.abs().max()
    return float((loss - expected).detach().abs()), float(difference)


def candidates(bf16: bool) -> dict[str, Callable[[], nn.Module]]:
    suffix = ", bf16" if bf16 else ""
    return {f"reference{suffix}": Reference, f"pyg_fsar{suffix}": Ours}


def peak_memory(name: str) -> dict[str, float]:
    """Growth of peak memory in GiB over a step, measured in a process of its own."""
    command = [sys.executable, __file__, "--memory-of", name]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def report_memory(name: str) -> None:
    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    model = candidates(name.endswith("bf16"))[name]()
    step = training_step(model, name.endswith("bf16"))
    at_embeddings: list[float] = []
    model.encoder.register_forward_hook(lambda *_: at_embeddings.append(peak()))
    start = peak()
    step()
    print(json.dumps({"step": peak() - start, "head": peak() - at_embeddings[0]}))


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
    if args.memory_of:
        report_memory(args.memory_of)
        return

    models = candidates(False) | (candidates(True) if args.bf16 else {})
    # Memory first: a new process starts with the peak of the one that started it.
    memory = {name: peak_memory(name) for name in models}
    print(f"{WAY}-way 1-shot, {CLIPS} one-body clips of {FRAMES} frames: ST-GCN, soft-DTW, RankMax")
    loss, grad = heads_differ_by()
    print(f"on equal embeddings the losses differ by {loss:.1e}, their gradients by {grad:.1e}\n")
    steps = {name: training_step(model(), name.endswith("bf16")) for name, model in models.items()}
    print_table(compare(steps, args.repeats, clock=time.process_time), "reference")
    print(f"\n{'peak memory, GiB':>20}  {'whole step':>10}  {'above embeddings':>16}")
    for name, peak in memory.items():
        print(f"{name:>20}  {peak['step']:10.2f}  {peak['head']:16.2f}")


if __name__ == "__main__":
    main()
