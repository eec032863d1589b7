"""Why a clip gets its label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pyg_fsar.classifier.support import Support
from pyg_fsar.matching import Alignment

__all__ = ["Explanation", "align_with_class", "joint_evidence"]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a clip gets its label, or does not get another.

    :func:`~pyg_fsar.visualization.plot_alignment` draws it:
    ``plot_alignment(why.alignment.cost, why.alignment.weights, clip, support_clips[why.support])``.

    Args:
        prediction: The label that the clip gets.
        label: The label that is explained: the prediction unless another was asked for.
        probabilities: Those of all classes, in the order of ``classes_``.
        support: Which support clip of the explained class is nearest to the clip, as its position
            in what ``fit`` was given.
        alignment: How the clip is aligned with the class: with the mean of its support clips if
            that is what the matcher compares with, else with the nearest one.
        joint_evidence: By how much the log-odds of the class fall if a joint is left out of all
            embeddings. A joint above 0 speaks for the class, one below 0 against it.

    Shapes:
        - **probabilities:** ``[N]``
        - **alignment:** cost and weights ``[T, T']`` in frames of the embeddings, distance ``[]``
        - **joint_evidence:** ``[V]``
    """

    prediction: Any
    label: Any
    probabilities: np.ndarray
    support: int
    alignment: Alignment
    joint_evidence: np.ndarray


def align_with_class(
    matcher: nn.Module, support: Support, query: Tensor, number: int
) -> tuple[Alignment, int]:
    """How an embedded clip is aligned with a class, and the position of its nearest support clip.

    Args:
        matcher: A matcher with a method ``align``.
        support: The support.
        query: The clip.
        number: Number of the class.

    Shapes:
        - **query:** ``[T, V, C']``
    """
    shots = support.of_class(number)
    each = torch.arange(len(shots.y), device=query.device)  # every shot a class of its own
    nearest = int(shots._replace(y=each).match(matcher, [query]).argmax())
    # A matcher of streams has the matchers that know of shots within.
    parts: list[Any] = list(matcher.modules())
    averages = any(getattr(part, "shots", None) == "average" for part in parts)
    met = shots.embeddings[nearest] if averages else shots.embeddings.mean(dim=0)
    if shots.lengths is not None:
        met = met[: int(shots.lengths[nearest])]
    alignment = parts[0].align(query, met)
    position = int((support.y == number).nonzero()[nearest])
    return Alignment(*(value.cpu() for value in alignment)), position


def joint_evidence(matcher: nn.Module, support: Support, query: Tensor, number: int) -> Tensor:
    """By how much the log-odds of a class fall when each joint in turn is zero in all clips.

    For costs of inner products and distances a joint that is zero on both sides is one that is not
    there, so this compares with the decision that would have been made without the joint.

    Args:
        matcher: Any matcher.
        support: The support, of two classes at least.
        query: The clip.
        number: Number of the class.

    Shapes:
        - **query:** ``[T, V, C']``
        - **output:** ``[V]``
    """
    keep = (1 - torch.eye(query.size(1))).to(query).unsqueeze(-1)

    def log_odds(query: Tensor, embeddings: Tensor) -> Tensor:
        logits = support._replace(embeddings=embeddings).match(matcher, [query])[0]
        others = torch.arange(len(logits)) != number
        return logits[number] - logits[others].logsumexp(dim=0)

    without = [log_odds(query * mask, support.embeddings * mask) for mask in keep]
    return log_odds(query, support.embeddings) - torch.stack(without)
