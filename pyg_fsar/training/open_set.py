"""Evaluation with queries of unknown classes, and of what probabilities are worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyg_fsar.data import EmbeddedClips, labels_of
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.loader import EpisodeSampler
from pyg_fsar.matching import refuse_relative
from pyg_fsar.metrics import auroc, mean_confidence_interval, query_hits, threshold_at
from pyg_fsar.training.evaluation import embedded_or_new

__all__ = ["OpenSetResult", "calibrate", "evaluate_open_set"]

#: From support, queries and the number of classes to logits or scores ``[Q, N]``.
Score = Callable[[EmbeddedClips, EmbeddedClips, int], Tensor]


@dataclass(frozen=True)
class OpenSetResult:
    """Outcome of :func:`evaluate_open_set`.

    Args:
        aurocs: Area under the ROC curve of each episode, between known and unknown queries.
        accuracies: Fraction of the known queries of each episode that are accepted and named right,
            at the threshold that lets the given fraction of all unknown queries pass.
        closed_accuracies: The same without a threshold.
        threshold: The threshold of the highest logit.

    Shapes:
        - **aurocs, accuracies, closed_accuracies:** ``[episodes]``

    Example:
        >>> result = evaluate_open_set(model, dataset, n_way=2, n_query=2, num_episodes=4)
        >>> result.aurocs.shape
        torch.Size([4])
    """

    aurocs: Tensor
    accuracies: Tensor
    closed_accuracies: Tensor
    threshold: float

    def __str__(self) -> str:
        area, at = (mean_confidence_interval(v) for v in (self.aurocs, self.accuracies))
        return (
            f"AUROC {100 * area[0]:.2f} ± {100 * area[1]:.2f} %, "
            f"accuracy {100 * at[0]:.2f} ± {100 * at[1]:.2f} %"
        )


def evaluate_open_set(
    model: FewShotModel,
    dataset: Any,
    n_way: int = 5,
    k_shot: int = 1,
    n_query: int = 5,
    num_episodes: int = 500,
    seed: int = 0,
    false_alarms: float = 0.05,
    embedded: EmbeddedClips | None = None,
    score: Score | None = None,
) -> OpenSetResult:
    """How well queries of known classes are told from those of as many unknown classes, which have
    no examples.

    A query's score is its highest logit. Episodes depend on the seed alone.

    Args:
        model: The model.
        dataset: Clips of ``2 * n_way`` classes or more, as for
            :func:`~pyg_fsar.training.evaluate`.
        n_way: Known classes of an episode, and unknown ones.
        k_shot: Examples of each known class.
        n_query: Queries of each class, known or not.
        num_episodes: Number of episodes.
        seed: Seed of the episodes.
        false_alarms: Fraction of unknown queries that may pass the threshold.
        embedded: What :func:`~pyg_fsar.training.embed_dataset` gave, if you have it.
        score: Replaces the model's logits, of whatever scale.

    Raises:
        ValueError: If classes or clips are too few, ``embedded`` is of another number of clips, a
            clip has no label, a score is NaN, or without ``score`` the matcher only ranks the
            classes, as ``"mixture"`` does.
    """
    if score is None:
        refuse_relative(model.matcher, "telling unknown classes")
    labels = labels_of(dataset)
    num_classes = len(labels.unique())
    if n_way < 1 or num_classes < 2 * n_way:
        raise ValueError(
            f"n_way={n_way} known classes and as many unknown ones need {2 * max(n_way, 1)} "
            f"classes or more, but the dataset has {num_classes}; give n_way from 1 to half of its "
            "number of classes"
        )
    embedded = embedded_or_new(embedded, model, dataset)
    sampler = EpisodeSampler(labels, 2 * n_way, k_shot, n_query, num_episodes, seed)
    areas, known, unknown, hits = [], [], [], []
    y = torch.arange(n_way).repeat_interleave(n_query)
    for support, query in _episodes(sampler, embedded, n_way):
        with torch.inference_mode():
            logits = (score or model.match)(support, query, n_way).cpu().double()
        highest = logits.amax(dim=1)
        known.append(highest[: len(y)])
        unknown.append(highest[len(y) :])
        hits.append(query_hits(logits[: len(y)], y))
        areas.append(auroc(known[-1], unknown[-1]))
    threshold = threshold_at(torch.cat(unknown), false_alarms)
    accepted = torch.stack(known) > threshold
    right = torch.stack(hits)
    return OpenSetResult(
        torch.tensor(areas), (right * accepted).mean(dim=1), right.mean(dim=1), threshold
    )


def calibrate(
    model: FewShotModel,
    dataset: Any,
    n_way: int = 5,
    k_shot: int = 1,
    n_query: int = 10,
    num_episodes: int = 200,
    seed: int = 0,
    embedded: EmbeddedClips | None = None,
) -> FewShotModel:
    r"""The same model with the temperature at which the classes of episodes are most likely, as in
    Guo et al. (ICML 2017).

    Accuracy stays as it is. Take classes that the model was not trained on, such as those of
    validation, since it is too sure of those of training. Encoder, matcher and penalty are shared
    with the model given; the temperature is stored by
    :meth:`~pyg_fsar.nn.PretrainedModule.save_pretrained`. The factor of the logits is searched
    between :math:`e^{-7}` and :math:`e^7`.

    Args:
        model: The model.
        dataset: Labelled clips, as for :func:`~pyg_fsar.training.evaluate`.
        n_way: Classes of an episode.
        k_shot: Examples of each class.
        n_query: Queries of each class.
        num_episodes: Number of episodes.
        seed: Seed of the episodes.
        embedded: What :func:`~pyg_fsar.training.embed_dataset` gave, if you have it.

    Raises:
        ValueError: If ``n_way`` is 1, classes or clips are too few, ``embedded`` is of another
            number of clips, or a clip has no label.
        FloatingPointError: If a logit is NaN or infinite.
    """
    if n_way == 1:
        raise ValueError("one class is always certain, at any temperature; give n_way=2 or more")
    embedded = embedded_or_new(embedded, model, dataset)
    sampler = EpisodeSampler(labels_of(dataset), n_way, k_shot, n_query, num_episodes, seed)
    y = torch.arange(n_way).repeat_interleave(n_query)
    with torch.inference_mode():
        parts = [
            model.match(support, query, n_way).cpu().double()
            for support, query in _episodes(sampler, embedded, n_way)
        ]
    logits = torch.cat(parts)
    if not bool(logits.isfinite().all()):
        raise FloatingPointError("a logit is NaN or infinite; look for such a weight of the model")
    right = logits.gather(1, y.repeat(len(parts))[:, None])[:, 0]
    # Logarithms of factors. The likelihood is concave in the factor, and where classes are never
    # confused, it grows without end.
    low, high = -7.0, 7.0
    for _ in range(40):
        middle = (low + high) / 2
        expected = (logits * (logits * torch.tensor(middle).exp()).softmax(dim=1)).sum(dim=1)
        low, high = (middle, high) if bool(right.mean() > expected.mean()) else (low, middle)
    temperature = model.temperature / float(torch.tensor((low + high) / 2).exp())
    return FewShotModel(model.encoder, model.matcher, model.penalty, temperature).train(
        model.training
    )


def _episodes(
    sampler: EpisodeSampler, embedded: EmbeddedClips, n_way: int
) -> Iterator[tuple[EmbeddedClips, EmbeddedClips]]:
    """Examples of the first classes of each episode, and the queries of all."""
    k_shot, device = sampler.k_shot, embedded.x.device
    y = torch.arange(n_way, device=device).repeat_interleave(k_shot)
    for numbers in sampler:
        clips = torch.tensor(numbers, device=device)
        yield (
            embedded[clips[: n_way * k_shot]].with_y(y),
            embedded[clips[sampler.n_way * k_shot :]].with_y(None),
        )
