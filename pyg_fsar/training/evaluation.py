"""Accuracy of a model over episodes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from lightning_fabric.wrappers import is_wrapped
from torch import Tensor, nn
from tqdm import tqdm

from pyg_fsar.data import stack_clips
from pyg_fsar.datasets import SkeletonDataset
from pyg_fsar.loader import EpisodeSampler
from pyg_fsar.metrics import mean_confidence_interval
from pyg_fsar.nn import FewShotModel
from pyg_fsar.nn.evaluation_mode import evaluation_mode

__all__ = ["EvaluationResult", "embed_dataset", "evaluate", "evaluate_one_shot"]


@dataclass(frozen=True)
class EvaluationResult:
    """Outcome of an evaluation.

    Args:
        accuracies: Accuracy of every episode, in the order of the sampler (of every query with
            :func:`evaluate_one_shot`).
        losses: Mean negative log-likelihood of the same.
        seconds: Wall-clock time.
    """

    accuracies: Tensor
    losses: Tensor
    seconds: float

    @property
    def accuracy(self) -> float:
        """Mean accuracy, 0 to 1."""
        return float(self.accuracies.mean())

    @property
    def interval(self) -> float:
        """Half width of the 95 % confidence interval of :attr:`accuracy`."""
        return mean_confidence_interval(self.accuracies)[1]

    @property
    def loss(self) -> float:
        """Mean loss."""
        return float(self.losses.mean())

    def __str__(self) -> str:
        return f"{100 * self.accuracy:.2f} ± {100 * self.interval:.2f} %"


def embed_dataset(
    fabric: Fabric, model: nn.Module, dataset: SkeletonDataset, chunk: int = 64
) -> tuple[Tensor, Tensor | None]:
    """Encode every clip of a dataset once.

    An episode is then a choice of rows. Evaluation this way costs one pass over the clips however
    many episodes follow, and gives what the model gives for each episode, since an encoder in
    evaluation mode treats every clip on its own. Transforms must not be random.

    Args:
        fabric: Decides device and precision.
        model: A :class:`~pyg_fsar.nn.FewShotModel`, set up by Fabric or not.
        dataset: Clips, at least one.
        chunk: Clips that are encoded at once.

    Shapes:
        - **output:** ``[len(dataset), T', V, C']``, and the number of frames of each clip if they
          differ

    Raises:
        ValueError: If clips differ in length and the encoder changes the number of frames.
    """
    with _evaluation_mode(fabric, model):
        chunks = [
            _embed(fabric, model, dataset, numbers.tolist())
            for numbers in progress(fabric, torch.arange(len(dataset)).split(chunk), "encoding")
        ]
    lengths = torch.cat([lengths for _, lengths in chunks])
    longest = max(embedded.size(1) for embedded, _ in chunks)
    some = chunks[0][0]
    embeddings = some.new_zeros(len(dataset), longest, *some.shape[2:])
    for rows, (embedded, _) in zip(embeddings.split(chunk), chunks, strict=True):
        rows[:, : embedded.size(1)] = embedded
    return embeddings, None if bool((lengths == longest).all()) else lengths


def evaluate(
    fabric: Fabric,
    model: nn.Module,
    dataset: SkeletonDataset,
    n_way: int = 5,
    k_shot: int = 1,
    n_query: int = 10,
    num_episodes: int = 500,
    runs: int = 1,
    seed: int = 0,
    embedded: tuple[Tensor, Tensor | None] | None = None,
) -> EvaluationResult:
    """Accuracy over episodes that depend on the seed alone, not on model, device or rank.

    Args:
        fabric: Decides device, precision and ranks, which share the episodes.
        model: A :class:`~pyg_fsar.nn.FewShotModel`, set up by Fabric or not.
        dataset: Clips with deterministic transforms.
        n_way: Classes of an episode.
        k_shot: Support clips per class.
        n_query: Query clips per class.
        num_episodes: Episodes of one run.
        runs: Number of runs; the sampler's epochs ``0, 1, ...``.
        seed: Seed of the episodes.
        embedded: What :func:`embed_dataset` gave for this model and dataset, if you have it.

    Raises:
        ValueError: If classes or clips are too few, or ``embedded`` is of another number of clips.
    """
    start = time.perf_counter()
    matcher = _module(model).matcher
    sampler = EpisodeSampler(
        dataset.labels, n_way, k_shot, n_query, num_episodes, seed,
        rank=fabric.global_rank, world_size=fabric.world_size,
    )  # fmt: skip
    support_y = torch.arange(n_way, device=fabric.device).repeat_interleave(k_shot)
    query_y = torch.arange(n_way, device=fabric.device).repeat_interleave(n_query)
    scores = torch.zeros(2, runs, num_episodes, device=fabric.device)
    embeddings, lengths = embed_dataset(fabric, model, dataset) if embedded is None else embedded
    if len(embeddings) != len(dataset):
        raise ValueError(
            f"embedded has {len(embeddings)} clips and the dataset {len(dataset)}; give what "
            "embed_dataset makes of this dataset"
        )
    bar = progress(fabric, None, "testing", total=runs * len(sampler))
    with _evaluation_mode(fabric, model), _one_thread(), bar:
        for run in range(runs):
            sampler.set_epoch(run)
            for turn, numbers in enumerate(sampler):
                clips = torch.tensor(numbers, device=fabric.device)
                support, query = clips.split([len(support_y), len(query_y)])
                frames = (None, None) if lengths is None else (lengths[support], lengths[query])
                with fabric.autocast():
                    logits = matcher(
                        embeddings[support], support_y, embeddings[query], *frames, n_way
                    )
                episode = turn * fabric.world_size + fabric.global_rank
                scores[0, run, episode] = (logits.argmax(dim=-1) == query_y).float().mean()
                scores[1, run, episode] = F.cross_entropy(logits, query_y)
                bar.update()
    # Every rank has filled in its own episodes and left the others zero.
    accuracies, losses = _sum_over_ranks(fabric, scores).flatten(1).cpu()
    return EvaluationResult(accuracies, losses, time.perf_counter() - start)


def evaluate_one_shot(
    fabric: Fabric,
    model: nn.Module,
    dataset: SkeletonDataset,
    exemplars: Sequence[int],
    chunk: int = 64,
) -> EvaluationResult:
    """Accuracy of the NTU-120 one-shot protocol (Liu et al., TPAMI 2020): one exemplar of each
    novel class, all other clips are queries.

    Args:
        fabric: Decides device, precision and ranks, which share the queries.
        model: A :class:`~pyg_fsar.nn.FewShotModel`, set up by Fabric or not.
        dataset: The novel classes' clips with deterministic transforms.
        exemplars: Position in ``dataset`` of the clip of each class that is its support, such as
            the values of :attr:`pyg_fsar.datasets.NTURGBD.exemplars`.
        chunk: Clips that are encoded at once.

    Raises:
        ValueError: If two exemplars are of one class, a query's class has none, or there is no
            query.
    """
    start = time.perf_counter()
    all_labels = dataset.labels
    labels = all_labels[list(exemplars)]
    queries = torch.tensor(sorted(set(range(len(dataset))) - set(exemplars)))
    if labels.unique().numel() != len(labels):
        raise ValueError("two exemplars are of one class; give one for each class")
    strangers = set(all_labels.tolist()) - set(labels.tolist())
    if strangers:
        raise ValueError(f"no exemplar for classes {sorted(strangers)}; give one for each class")
    if not len(queries):
        raise ValueError("every clip is an exemplar, so there is no query; add clips")
    scores = torch.zeros(2, len(queries), device=fabric.device)
    with _evaluation_mode(fabric, model):
        support, support_frames = _embed(fabric, model, dataset, list(exemplars))
        support_y = torch.arange(len(labels), device=fabric.device)
        mine = torch.arange(len(queries)).split(chunk)[fabric.global_rank :: fabric.world_size]
        for part in progress(fabric, mine, "testing"):
            query, query_frames = _embed(fabric, model, dataset, queries[part].tolist())
            with fabric.autocast():
                logits = _module(model).matcher(
                    support, support_y, query, support_frames, query_frames, len(labels)
                )
            y = (all_labels[queries[part]][:, None] == labels).long().argmax(dim=1)
            y = y.to(fabric.device)
            scores[0, part] = (logits.argmax(dim=-1) == y).float()
            scores[1, part] = F.cross_entropy(logits, y, reduction="none").to(scores)
    accuracies, losses = _sum_over_ranks(fabric, scores).cpu()
    return EvaluationResult(accuracies, losses, time.perf_counter() - start)


def _module(model: nn.Module) -> FewShotModel:
    """The model behind Fabric's wrappers.

    Evaluation goes around the wrapper of distributed training, which would share buffers among
    ranks at every call and so hang when ranks have different numbers of episodes.
    """
    module = model.module if is_wrapped(model) else model
    return cast(FewShotModel, module)


def _sum_over_ranks(fabric: Fabric, values: Tensor) -> Tensor:
    return cast(Tensor, fabric.all_reduce(values, reduce_op="sum"))


@contextmanager
def _evaluation_mode(fabric: Fabric, model: nn.Module) -> Iterator[None]:
    module = fabric.to_device(_module(model))
    # Each rank has its own batch statistics since the last training step. They travel by way of
    # the CPU, or every rank would open the GPU of the first.
    statistics = fabric.broadcast([buffer.cpu() for buffer in module.buffers()])
    for buffer, statistic in zip(module.buffers(), statistics, strict=True):
        buffer.copy_(statistic)
    with evaluation_mode(module), torch.inference_mode():
        yield


@contextmanager
def _one_thread() -> Iterator[None]:
    """Matching is many small operations: a second thread gains little, and where another process
    wants its core, each operation waits for it, which was measured to take 5 to 50 times longer.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


def _embed(
    fabric: Fabric, model: nn.Module, dataset: SkeletonDataset, numbers: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Embeddings of some clips, padded to the longest, and their numbers of frames."""
    bodies, body_to_clip, lengths = map(fabric.to_device, stack_clips(dataset.gather(numbers)))
    ragged = bool((lengths != bodies.size(1)).any())
    with fabric.autocast():
        embedded = _module(model).embed(
            bodies, body_to_clip, len(numbers), lengths if ragged else None
        )
    return embedded, lengths if ragged else torch.full_like(lengths, embedded.size(1))


def progress(fabric: Fabric, iterable: Any, label: str, **kwargs: Any) -> tqdm:
    if not fabric.is_global_zero:  # else tqdm's own switch, TQDM_DISABLE, has its say
        kwargs["disable"] = True
    return tqdm(iterable, desc=label, leave=False, mininterval=0.5, **kwargs)
