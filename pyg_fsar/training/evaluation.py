"""Accuracy of a model over episodes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from lightning_fabric.wrappers import is_wrapped
from torch import Tensor, nn

from pyg_fsar.data import EmbeddedClips, gather_clips, labels_of
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.loader import EpisodeSampler
from pyg_fsar.metrics import QUERY_METRICS, mean_confidence_interval
from pyg_fsar.nn.evaluation_mode import evaluation_mode
from pyg_fsar.nn.hooks import warn_of_uncalled_hooks
from pyg_fsar.training.local import Local, Runner
from pyg_fsar.training.progress import progress

__all__ = ["EvaluationResult", "embed_dataset", "embedded_or_new", "evaluate", "evaluate_one_shot"]


@dataclass(frozen=True)
class EvaluationResult:
    """Outcome of an evaluation.

    Args:
        values: Each measure of :data:`~pyg_fsar.metrics.QUERY_METRICS` for every episode, in the
            order of the sampler (for every query with :func:`evaluate_one_shot`).
        classes: Labels of the evaluated classes, ascending.
        confusion: How often queries of each class, by rows, were given each label, by columns.
        seconds: Wall-clock time.

    Shapes:
        - **values:** ``[episodes]`` each
        - **classes:** ``[L]``
        - **confusion:** ``[L, L]`` int64

    Example:
        >>> result = evaluate(model, dataset, n_way=3, n_query=2, num_episodes=5)
        >>> result.accuracies.shape, result.confusion.shape
        (torch.Size([5]), torch.Size([10, 10]))
    """

    values: Mapping[str, Tensor]
    classes: Tensor
    confusion: Tensor
    seconds: float

    @property
    def accuracies(self) -> Tensor:
        """Accuracy of every episode (of every query with :func:`evaluate_one_shot`)."""
        return self.values["accuracy"]

    @property
    def losses(self) -> Tensor:
        """Mean negative log-likelihood of the same."""
        return self.values["loss"]

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

    @property
    def class_accuracy(self) -> dict[int, float]:
        """Fraction of each class's queries that got its label, by label; NaN for a class without a
        query.
        """
        hits = self.confusion.diagonal() / self.confusion.sum(dim=1)
        return dict(zip(self.classes.tolist(), hits.tolist(), strict=True))

    def __str__(self) -> str:
        return f"{100 * self.accuracy:.2f} ± {100 * self.interval:.2f} %"


def embed_dataset(
    model: nn.Module, dataset: Any, chunk: int = 64, fabric: Runner | None = None
) -> EmbeddedClips:
    """Encode every clip of a dataset once.

    An episode is then a choice of rows. Evaluation this way costs one pass over the clips however
    many episodes follow, and gives what the model gives for each episode, since an encoder in
    evaluation mode treats every clip on its own. Transforms must not be random. Of several ranks
    each encodes its share of the clips, and all get the whole.

    Args:
        model: A :class:`~pyg_fsar.FewShotModel`, set up by Fabric or not.
        dataset: At least one clip: a dataset of this package, or any sequence of labelled clips.
        chunk: Clips that are encoded at once.
        fabric: Decides device, precision and ranks; one process where the model is and in its
            precision if not given.

    Returns:
        The embedded clips with the labels of the dataset.

    Raises:
        FloatingPointError: If a clip's embedding is NaN or infinite.
        ValueError: If a clip has no label.
    """
    runner = _runner(fabric, model)
    labels = labels_of(dataset)
    numbers = torch.arange(len(dataset))
    mine = numbers.tensor_split(runner.world_size)[runner.global_rank]
    # A rank without a share encodes one clip all the same, to know the shape of an embedding.
    encoded = mine if len(mine) else numbers[:1]
    with _evaluation_mode(runner, model):
        parts = [
            _embed(runner, model, dataset, part.tolist())
            for part in progress(runner, encoded.split(chunk), "encoding")
        ]
    embedded = EmbeddedClips.cat(parts)
    if runner.world_size > 1:
        embedded = _from_all_ranks(runner, embedded[: len(mine)], mine, len(numbers))
    return embedded.with_y(labels.to(embedded.x.device))


def embedded_or_new(
    embedded: EmbeddedClips | None, model: nn.Module, dataset: Any, fabric: Runner | None = None
) -> EmbeddedClips:
    """What a caller has of :func:`embed_dataset`, or if nothing, what that makes now.

    Raises:
        ValueError: If it is of another number of clips.
    """
    if embedded is None:
        return embed_dataset(model, dataset, fabric=fabric)
    if len(embedded) != len(dataset):
        raise ValueError(
            f"embedded has {len(embedded)} clips and the dataset {len(dataset)}; give what "
            "embed_dataset makes of this dataset"
        )
    return embedded


def evaluate(
    model: nn.Module,
    dataset: Any,
    n_way: int = 5,
    k_shot: int = 1,
    n_query: int = 10,
    num_episodes: int = 500,
    runs: int = 1,
    seed: int = 0,
    fabric: Runner | None = None,
    embedded: EmbeddedClips | None = None,
) -> EvaluationResult:
    """Accuracy over episodes that depend on the seed alone, not on model, device or rank.

    Args:
        model: A :class:`~pyg_fsar.FewShotModel`, set up by Fabric or not.
        dataset: Clips with deterministic transforms: a dataset of this package, a
            :class:`torch.utils.data.Subset`, or any sequence of labelled clips.
        n_way: Classes of an episode.
        k_shot: Support clips per class.
        n_query: Query clips per class.
        num_episodes: Episodes of one run.
        runs: Number of runs; the sampler's epochs ``0, 1, ...``.
        seed: Seed of the episodes.
        fabric: Decides device, precision and ranks, which divide the episodes among them; one
            process where the model is if not given.
        embedded: What :func:`embed_dataset` gave for this model and dataset, if you have it.

    Raises:
        ValueError: If classes or clips are too few, ``embedded`` is of another number of clips, or
            a clip has no label.
        FloatingPointError: If an embedding or a logit is NaN, naming the clip or the episode.
    """
    start = time.perf_counter()
    runner = _runner(fabric, model)
    if runs < 1:
        raise ValueError(f"runs must be at least 1, got {runs}")
    labels = labels_of(dataset)
    sampler = EpisodeSampler(
        labels, n_way, k_shot, n_query, num_episodes, seed,
        rank=runner.global_rank, world_size=runner.world_size,
    )  # fmt: skip
    embedded = embedded_or_new(embedded, model, dataset, fabric)
    support_y = torch.arange(n_way, device=runner.device).repeat_interleave(k_shot)
    query_y = torch.arange(n_way, device=runner.device).repeat_interleave(n_query)
    score = _Score(labels, (runs, num_episodes), runner.device)
    bar = progress(runner, None, "testing", total=runs * len(sampler))
    with _evaluation_mode(runner, model), _one_thread(), bar:
        for run in range(runs):
            sampler.set_epoch(run)
            for turn, numbers in enumerate(sampler):
                clips = torch.tensor(numbers, device=runner.device)
                support, query = clips.split([len(support_y), len(query_y)])
                with runner.autocast():
                    logits = _module(model).match(
                        embedded[support].with_y(support_y), embedded[query], n_way
                    )
                episode = turn * runner.world_size + runner.global_rank
                for name, values in score.values.items():
                    values[run, episode] = QUERY_METRICS[name](logits.float(), query_y).mean()
                score.count(labels[numbers[: len(support_y) : k_shot]], logits, query_y)
                bar.update()
    return score.result(runner, start, "episode")


def evaluate_one_shot(
    model: nn.Module,
    dataset: Any,
    exemplars: Sequence[int],
    chunk: int = 64,
    fabric: Runner | None = None,
) -> EvaluationResult:
    """Accuracy of the NTU-120 one-shot protocol (Liu et al., TPAMI 2020): one exemplar of each
    novel class, all other clips are queries.

    Args:
        model: A :class:`~pyg_fsar.FewShotModel`, set up by Fabric or not.
        dataset: The novel classes' clips with deterministic transforms.
        exemplars: Position in ``dataset`` of the clip of each class that is its support, such as
            the values of :attr:`pyg_fsar.datasets.NTURGBD.exemplars`.
        chunk: Clips that are encoded at once.
        fabric: Decides device, precision and ranks, which divide the queries among them; one
            process where the model is if not given.

    Raises:
        ValueError: If two exemplars are of one class, a query's class has none, or there is no
            query.
        FloatingPointError: If an embedding or a logit is NaN, naming the clip or the query.
    """
    start = time.perf_counter()
    runner = _runner(fabric, model)
    all_labels = labels_of(dataset)
    if outside := [number for number in exemplars if not 0 <= number < len(all_labels)]:
        raise ValueError(
            f"exemplar {outside[0]} is no position in a dataset of {len(all_labels)} clips"
        )
    labels = all_labels[list(exemplars)]
    queries = torch.tensor(sorted(set(range(len(dataset))) - set(exemplars)))
    if labels.unique().numel() != len(labels):
        raise ValueError("two exemplars are of one class; give one for each class")
    strangers = set(all_labels.tolist()) - set(labels.tolist())
    if strangers:
        raise ValueError(f"no exemplar for classes {sorted(strangers)}; give one for each class")
    if not len(queries):
        raise ValueError("every clip is an exemplar, so there is no query; add clips")
    score = _Score(all_labels, (len(queries),), runner.device)
    with _evaluation_mode(runner, model):
        support = _embed(runner, model, dataset, list(exemplars))
        support = support.with_y(torch.arange(len(labels), device=runner.device))
        mine = torch.arange(len(queries)).split(chunk)[runner.global_rank :: runner.world_size]
        for part in progress(runner, mine, "testing"):
            query = _embed(runner, model, dataset, queries[part].tolist())
            with runner.autocast():
                logits = _module(model).match(support, query, len(labels))
            y = (all_labels[queries[part]][:, None] == labels).long().argmax(dim=1)
            y = y.to(runner.device)
            for name, values in score.values.items():
                values[part] = QUERY_METRICS[name](logits.float(), y).to(values)
            score.count(labels, logits, y)
    return score.result(runner, start, "query")


class _Score:
    """Measures and counts of an evaluation while it runs.

    Every rank fills in its own episodes and leaves the others zero.
    """

    def __init__(self, labels: Tensor, shape: tuple[int, ...], device: torch.device) -> None:
        self.classes = labels.unique()
        num_classes = len(self.classes)
        self.values = {name: torch.zeros(shape, device=device) for name in QUERY_METRICS}
        self.confusion = torch.zeros(num_classes, num_classes, dtype=torch.long, device=device)

    def count(self, labels: Tensor, logits: Tensor, y: Tensor) -> None:
        """Count predictions.

        Args:
            labels: Label of each way, on the CPU.
            logits: Of the queries over the ways.
            y: True way of each query.
        """
        place = torch.searchsorted(self.classes, labels).to(logits.device)
        cells = place[y] * len(self.classes) + place[logits.argmax(dim=-1)]
        self.confusion.view(-1).index_add_(0, cells, torch.ones_like(cells))

    def result(self, runner: Runner, start: float, unit: str) -> EvaluationResult:
        """The sum over ranks.

        Raises:
            FloatingPointError: If a loss is NaN.
        """
        names = list(self.values)
        sums = _sum_over_ranks(runner, torch.stack(list(self.values.values())))
        values = dict(zip(names, sums.flatten(1).cpu(), strict=True))
        broken = values["loss"].isnan().nonzero()
        if len(broken):
            raise FloatingPointError(
                f"logits of {unit} {int(broken[0])} are NaN ({len(broken)} of "
                f"{len(values['loss'])} are); look for a weight of the model that is NaN, or clips "
                "with extreme values"
            )
        confusion = _sum_over_ranks(runner, self.confusion).cpu()
        return EvaluationResult(values, self.classes, confusion, time.perf_counter() - start)


def _runner(fabric: Runner | None, model: nn.Module) -> Runner:
    warn_of_uncalled_hooks(_module(model), "evaluation")
    return Local(_module(model)) if fabric is None else fabric


def _module(model: nn.Module) -> FewShotModel:
    """The model behind Fabric's wrappers.

    Evaluation goes around the wrapper of distributed training, which would share buffers among
    ranks at every call and so hang when ranks have different numbers of episodes.
    """
    module = model.module if is_wrapped(model) else model
    return cast(FewShotModel, module)


def _sum_over_ranks(runner: Runner, values: Tensor) -> Tensor:
    return cast(Tensor, runner.all_reduce(values, reduce_op="sum"))


def _from_all_ranks(
    runner: Runner, embedded: EmbeddedClips, mine: Tensor, count: int
) -> EmbeddedClips:
    """The clips of all ranks in order.

    Every rank fills in its own and leaves the others zero.

    Args:
        runner: Sums over ranks.
        embedded: Clips of this rank.
        mine: Their numbers.
        count: Number of all clips.
    """
    x = embedded.x
    own_length = torch.tensor(x.size(1), device=x.device)
    longest = int(cast(Tensor, runner.all_reduce(own_length, reduce_op="max")))
    # Not every way between processes can add numbers of 16 bits.
    wide = torch.promote_types(x.dtype, torch.float32)
    whole = torch.zeros(count, longest, *x.shape[2:], dtype=wide, device=x.device)
    lengths = torch.zeros(count, dtype=torch.long, device=x.device)
    mine = mine.to(x.device)
    whole[mine, : x.size(1)] = embedded.zero_padded.to(wide)
    lengths[mine] = embedded.full_lengths
    whole, lengths = (_sum_over_ranks(runner, values) for values in (whole, lengths))
    is_padded = bool((lengths < longest).any())
    return EmbeddedClips(whole.to(x.dtype), lengths if is_padded else None)


@contextmanager
def _evaluation_mode(runner: Runner, model: nn.Module) -> Iterator[None]:
    module = runner.to_device(_module(model))
    # Each rank has its own batch statistics since the last training step. They travel by way of
    # the CPU, or every rank would open the GPU of the first.
    statistics = runner.broadcast([buffer.cpu() for buffer in module.buffers()])
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


def _embed(runner: Runner, model: nn.Module, dataset: Any, numbers: Sequence[int]) -> EmbeddedClips:
    """Embeddings of some clips.

    Raises:
        FloatingPointError: If one is not finite.
    """
    clips = gather_clips(dataset, numbers)
    with runner.autocast():
        embedded = _module(model).embed(clips).to(runner.device)
    finite = embedded.x.flatten(1).isfinite().all(dim=1)
    if not bool(finite.all()):
        position = int((~finite).nonzero()[0])
        name = clips[position].get("name")
        raise FloatingPointError(
            f"the embedding of clip {numbers[position]}{f' ({name})' if name else ''} is NaN or "
            "infinite; look for a weight of the model that is NaN, or extreme values in the clip"
        )
    return embedded
