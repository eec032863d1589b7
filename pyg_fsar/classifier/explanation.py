"""Why a clip gets its label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pyg_fsar.data import EmbeddedClips
from pyg_fsar.matching import Alignment, match

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
            embeddings. A joint above 0 speaks for the class, one below 0 against it. A class that
            is the only one has no log-odds: then it is by how much its logit falls, so that a joint
            above 0 brings the clip nearer to the class.
        mirrored: Whether the matcher aligned the mirror image of the clip, which is nearer.
        pooled: Whether the clip is aligned with several support clips as one, such as their mean.

    Shapes:
        - **probabilities:** ``[N]``
        - **alignment:** cost and weights ``[T, T']`` in frames of the embeddings, distance ``[]``
        - **joint_evidence:** ``[V]``

    Example:
        >>> classifier = FewShotClassifier().fit(clips, ["a", "b", "c"])
        >>> found = classifier.explain(clips[0])
        >>> found.label
        'a'
        >>> found.joint_evidence.shape
        (15,)
    """

    prediction: Any
    label: Any
    probabilities: np.ndarray
    support: int
    alignment: Alignment
    joint_evidence: np.ndarray
    mirrored: bool = False
    pooled: bool = False


class ClassAlignment(NamedTuple):
    """What an :class:`Explanation` has of the alignment with a class."""

    alignment: Alignment
    support: int
    mirrored: bool
    pooled: bool


def align_with_class(
    matcher: nn.Module,
    support: EmbeddedClips,
    query: Tensor,
    number: int,
    options: dict[str, Any] | None = None,
) -> ClassAlignment:
    """How an embedded clip is aligned with a class.

    Args:
        matcher: A matcher with methods ``align`` and ``references``, as
            :class:`~pyg_fsar.matching.Matcher` has them. Where its alignments depend on the other
            classes, it has a method ``alignment_options``, from the support and a class to keyword
            arguments of ``align``, as :class:`~pyg_fsar.matching.MotionMatcher` has. That has
            ``mirrors`` as well, with the same arguments as ``align``.
        support: The support.
        query: The clip.
        number: Number of the class.
        options: Result of ``alignment_options``, where it is known already.

    Shapes:
        - **query:** ``[T, V, C']``
    """
    aligning: Any = matcher
    classes: Any = support.y
    positions = (classes == number).nonzero().flatten()
    shots = support[positions]
    nearest = _nearest(matcher, shots, query)
    references = aligning.references(shots.with_y(torch.zeros_like(positions)), 1)
    reference = references.clip(_nearest(matcher, references, query))
    if options is None:
        of_classes = getattr(aligning, "alignment_options", None)
        options = {} if of_classes is None else of_classes(support, number)
    alignment = aligning.align(query, reference, **options)
    return ClassAlignment(
        Alignment(*(value.cpu() for value in alignment)),
        support=int(positions[nearest]),
        mirrored=hasattr(matcher, "mirrors") and aligning.mirrors(query, reference, **options),
        pooled=len(references) < len(shots),
    )


def joint_evidence(
    logits_of: Callable[[EmbeddedClips, EmbeddedClips, int], Tensor],
    support: EmbeddedClips,
    query: Tensor,
    number: int,
    n_way: int,
) -> Tensor:
    """By how much the log-odds of a class fall when each joint in turn is zero in all clips; the
    logit of a class that is the only one.

    For costs of inner products and distances a joint that is zero on both sides is one that is not
    there, so this compares with the decision that would have been made without the joint.

    Args:
        logits_of: From support, queries and the number of classes to logits ``[Q, N]``, in double
            precision on the CPU.
        support: The support.
        query: The clip.
        number: Number of the class.
        n_way: Number of classes.

    Shapes:
        - **query:** ``[T, V, C']``
        - **output:** ``[V]``, in double precision on the CPU
    """
    keep = (1 - torch.eye(query.size(1))).to(query).unsqueeze(-1)

    def log_odds(query: Tensor, embeddings: Tensor) -> Tensor:
        clips = EmbeddedClips(query[None])
        logits = logits_of(support.with_x(embeddings), clips, n_way)[0]
        if n_way == 1:
            return logits[number]
        others = torch.arange(n_way) != number
        return logits[number] - logits[others].logsumexp(dim=0)

    without = [log_odds(query * mask, support.x * mask) for mask in keep]
    return log_odds(query, support.x) - torch.stack(without)


def _nearest(matcher: nn.Module, clips: EmbeddedClips, query: Tensor) -> int:
    """Position of the clip that a query is nearest to."""
    apart = clips.with_y(torch.arange(len(clips), device=query.device))  # a class each
    return int(match(matcher, apart, EmbeddedClips(query[None])).argmax())
