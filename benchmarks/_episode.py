"""Training steps on a 5-way 1-shot episode: this package's, and in the shape of the public code."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from _reference import (
    ReferenceActivation,
    ReferenceSTGCN,
    expanded_cost,
    padded,
    rank_loop,
    soft_dtw_loop,
)
from _timing import compare, print_table
from torch import Tensor, nn

from pyg_fsar import FewShotModel
from pyg_fsar.data import Episode
from pyg_fsar.matching import Matcher, build_matcher
from pyg_fsar.nn import STGCN, RankMax

WAY, QUERIES, FRAMES, GAMMA, WEIGHT = 5, 10, 30, 0.01, 0.1
CLIPS = WAY * (1 + QUERIES)
EMBEDDED = (8, 25, 256)
EPISODE = Episode(
    bodies=torch.randn(CLIPS, FRAMES, 25, 3, generator=torch.Generator().manual_seed(0)),
    body_to_clip=torch.arange(CLIPS),
    lengths=torch.full((CLIPS,), FRAMES),
    support_y=torch.arange(WAY),
    query_y=torch.arange(WAY).repeat_interleave(QUERIES),
    classes=torch.arange(WAY),
)


class ReferenceHead(nn.Module):
    """Loss of an episode from embeddings ``[B, C, T, V]`` as released: with spatial activation the
    plain value of soft-DTW, without it the divergence.
    """

    def __init__(self, activation: bool, dropout: float = 0.2) -> None:
        super().__init__()
        self.activation = ReferenceActivation(EMBEDDED[-1], dropout) if activation else None

    def forward(self, embeddings: Tensor) -> Tensor:
        clips = embeddings.permute(0, 2, 3, 1)
        x = clips[WAY:].repeat_interleave(WAY, dim=0)
        y = clips[:WAY].repeat(len(clips) - WAY, 1, 1, 1)
        if self.activation is not None:
            x, y = self.activation(x, y)
            distance = self.distance(x, y)
        else:
            own = self.distance(x, x) + self.distance(y, y)
            distance = self.distance(x, y) - own / 2
        logits = -distance.view(-1, WAY)
        return F.cross_entropy(logits, EPISODE.query_y) + WEIGHT * (
            rank_loop(embeddings[:WAY]) + rank_loop(embeddings[WAY:])
        )

    @staticmethod
    def distance(x: Tensor, y: Tensor) -> Tensor:
        return soft_dtw_loop(expanded_cost(x.flatten(2), y.flatten(2)), GAMMA)


class Reference(nn.Module):
    """Loss of the episode, the reference's encoder included."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.encoder = ReferenceSTGCN()
        self.head = head
        self.bodies = padded(EPISODE.bodies)

    def forward(self) -> Tensor:
        return self.head(self.encoder(self.bodies))


class Ours(nn.Module):
    """Loss of the episode through this package's own model."""

    def __init__(self, matcher: Matcher) -> None:
        super().__init__()
        self.model = FewShotModel(STGCN("ntu25"), matcher, RankMax("fbnm"))
        self.encoder = self.model.encoder

    def forward(self) -> Tensor:
        return loss_of(self.model, EPISODE)


class HeadAlone(nn.Module):
    """Loss of the episode from embeddings, which are trained like weights.

    Args:
        head: A :class:`ReferenceHead`, or a matcher of this package.
        embeddings: ``[B, T, V, C]``
    """

    def __init__(self, head: nn.Module, embeddings: Tensor | None = None) -> None:
        super().__init__()
        embeddings = torch.randn(CLIPS, *EMBEDDED).relu() if embeddings is None else embeddings
        self.embeddings = nn.Parameter(embeddings)
        self.head = head
        if isinstance(head, Matcher):
            self.head = FewShotModel(nn.Identity(), head, RankMax("fbnm"))

    def forward(self) -> Tensor:
        if isinstance(self.head, ReferenceHead):
            return self.head(self.embeddings.permute(0, 3, 1, 2))
        lengths = torch.full((CLIPS,), self.embeddings.size(1))
        return loss_of(self.head, replace(EPISODE, bodies=self.embeddings, lengths=lengths))


def loss_of(model: FewShotModel, episode: Episode) -> Tensor:
    logits, penalty = model(episode)
    return F.cross_entropy(logits, episode.query_y) + WEIGHT * penalty


def released_matcher(activation: bool, dropout: float = 0.2) -> Matcher:
    """The matcher of this package that computes what :class:`ReferenceHead` does."""
    options = {"channels": EMBEDDED[-1], "dropout": dropout} if activation else {}
    return build_matcher("dastm", activation=activation, as_released=True, gamma=GAMMA, **options)


def training_step(model: nn.Module, bf16: bool = False) -> Callable[[], None]:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=5e-4, fused=True)

    def run() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = model()
        loss.backward()
        optimizer.step()

    return run


def heads_differ_by(activation: bool) -> tuple[float, float]:
    """Difference of the two losses, and the largest among the gradients for the embeddings and all
    weights relative to the largest entry of each, without dropout.
    """
    reference, matcher = ReferenceHead(activation, 0.0), released_matcher(activation, 0.0)
    if reference.activation is not None:
        matcher.cost.activation.load_state_dict(reference.activation.state_dict())
    expected, ours = HeadAlone(reference), HeadAlone(matcher)
    ours.load_state_dict({"embeddings": expected.embeddings}, strict=False)
    losses = expected(), ours()
    for loss in losses:
        loss.backward()
    names = {name.rpartition("activation.")[2]: p for name, p in ours.named_parameters()}
    differences = []
    for name, parameter in expected.named_parameters():
        if name.endswith("key.bias"):  # adds the same to all scores of a softmax: no gradient
            continue
        grad, other = parameter.grad, names[name.rpartition("activation.")[2]].grad
        differences.append(float((grad - other).abs().max() / grad.abs().max()))
    return abs(float(losses[0].detach() - losses[1].detach())), max(differences)


def peak_memory(script: str, name: str) -> dict[str, float]:
    """What :func:`report_memory` prints in a fresh process, to which the script passes it on.

    To be called before all else: a new process starts with the peak of the one that started it.
    """
    command = [sys.executable, script, "--memory-of", name]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def report_memory(model: nn.Module, bf16: bool) -> None:
    """Print the growth of peak memory in GiB over a step, and from its embeddings to its end."""

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    step = training_step(model, bf16)
    at_embeddings: list[float] = []
    if isinstance(model, Reference | Ours):
        model.encoder.register_forward_hook(lambda *_: at_embeddings.append(peak()))
    start = peak()
    step()
    print(json.dumps({"step": peak() - start, "head": peak() - (at_embeddings or [start])[0]}))


def report(
    title: str,
    models: dict[str, Callable[[], nn.Module]],
    memory: dict[str, dict[str, float]],
    repeats: int,
) -> None:
    """Print times and memory of one training step of each model; the first is the reference."""
    print(f"\n{title}")
    steps = {name: training_step(make(), name.endswith("bf16")) for name, make in models.items()}
    print_table(compare(steps, repeats, clock=time.process_time), next(iter(models)))
    width = max(16, *map(len, models))
    print(f"{'peak memory, GiB':{width}}  {'whole step':>10}  {'above embeddings':>16}")
    for name in models:
        print(f"{name:{width}}  {memory[name]['step']:10.2f}  {memory[name]['head']:16.2f}")
