"""Accuracy over episodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["QUERY_METRICS", "accuracy", "mean_confidence_interval", "query_hits"]


def query_hits(logits: Tensor, y: Tensor) -> Tensor:
    """1 for each query whose highest logit is that of its class, 0 for the others.

    Shapes:
        - **logits:** :math:`(Q, N)`
        - **y, output:** :math:`(Q)`
    """
    return (logits.argmax(dim=-1) == y).float()


def accuracy(logits: Tensor, y: Tensor) -> Tensor:
    """Fraction of queries whose highest logit is that of their class.

    Args:
        logits: One score per class for every query.
        y: True classes.

    Shapes:
        - **logits:** :math:`(Q, N)`
        - **y:** :math:`(Q)`
        - **output:** a scalar between 0 and 1

    Raises:
        ValueError: If the shapes do not fit or there is no query.
    """
    if logits.dim() != 2 or y.shape != logits.shape[:1] or y.numel() == 0:
        raise ValueError(
            f"expected logits [Q, N] and classes [Q] of at least one query, got "
            f"{list(logits.shape)} and {list(y.shape)}"
        )
    return query_hits(logits, y).mean()


def mean_confidence_interval(
    values: Sequence[float] | Tensor, confidence: float = 0.95
) -> tuple[float, float]:
    r"""Mean, and half the width of its confidence interval.

    By the normal approximation, which the few-shot literature reports: :math:`z \, s / \sqrt{n}`
    with :math:`s` the sample standard deviation and :math:`z = 1.96` for 95 %. Values are taken as
    independent; for fewer than about 30, the interval is too narrow.

    Args:
        values: One number per episode, such as its accuracy.
        confidence: Probability with which the interval holds the true mean.

    Returns:
        Mean and half-width. Of a single value the half-width is infinite.

    Raises:
        ValueError: If there is no value or ``confidence`` is not between 0 and 1.
    """
    samples = torch.as_tensor(values, dtype=torch.float64).flatten()
    if samples.numel() == 0:
        raise ValueError("a mean needs at least one value")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    mean = float(samples.mean())
    if samples.numel() == 1:
        return mean, math.inf
    z = math.sqrt(2) * float(torch.special.erfinv(torch.tensor(confidence, dtype=torch.float64)))
    return mean, z * float(samples.std()) / math.sqrt(samples.numel())


#: What is measured of each query, by name: functions from logits ``[Q, N]`` and classes ``[Q]`` to
#: ``[Q]``. :func:`~pyg_fsar.training.evaluate` averages them over the queries of an episode; a
#: further measure is a further line.
QUERY_METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "accuracy": query_hits,
    "loss": partial(F.cross_entropy, reduction="none"),
}
