"""An explanation as a page: what of a classifier the page shows, and which clips it draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch_geometric.transforms import Compose

from pyg_fsar.classifier.clips import Clip, Transform
from pyg_fsar.classifier.explanation import Explanation
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.transforms import JointsToBones, JointsToMotion, PairNorm, RankMax, RemoveMeanPose
from pyg_fsar.visualization import ReportClass, alignment_report

__all__ = ["name_of", "pose_transform", "report_page"]

# They keep frames and joints, but what they make of a joint is no place.
NOT_POSES = (RemoveMeanPose, JointsToBones, JointsToMotion, PairNorm, RankMax)


def pose_transform(transform: Transform | None) -> Transform | None:
    """A preparation without the steps that make something else of a clip than poses."""
    if isinstance(transform, NOT_POSES):
        return None
    if isinstance(transform, Compose):
        kept = (pose_transform(step) for step in transform.transforms)
        return Compose([step for step in kept if step is not None])
    return transform


def name_of(clip: Clip, otherwise: str) -> str:
    """The name of a clip, if it has one."""
    name = clip.get("name") if isinstance(clip, SkeletonSequence) else None
    return str(name or otherwise)


def report_page(
    why: Explanation,
    clips: tuple[SkeletonSequence, SkeletonSequence],
    names: tuple[str, str],
    *,
    labels: Sequence[Any],
    distances: np.ndarray,
    thresholds: np.ndarray | None,
    model: FewShotModel,
    preparation: str | None,
) -> str:
    """The page of :func:`~pyg_fsar.visualization.alignment_report` for an explanation.

    Args:
        why: The explanation.
        clips: The clip and the nearest example, as they are drawn.
        names: Their names.
        labels: Labels of all classes.
        distances: Distance of the clip to each class.
        thresholds: Largest distance of each class, if there are such.
        model: The model.
        preparation: What the transform says of itself.

    Shapes:
        - **distances**, **thresholds:** ``[N]``
    """
    limits = [None] * len(labels) if thresholds is None else thresholds.tolist()
    columns = (labels, distances.tolist(), why.probabilities.tolist(), limits)
    encoder = type(model.encoder).__name__
    settings = {
        "skeleton": f"{clips[0].skeleton}, {clips[0].bodies.size(2)} joints",
        "encoder": f"{encoder}, {sum(p.numel() for p in model.encoder.parameters()):,} parameters",
        "matcher": repr(model.matcher),
        "preparation": preparation or "none",
    }
    notes = {
        "The mirror image of the query is aligned: its left meets the right.": why.mirrored,
        "The query is aligned with all examples of the class as one; the nearest is shown.": (
            why.pooled
        ),
        "There is no other class, so evidence is of the distance alone: a joint speaks for the "
        "class if the clip is farther without it.": len(labels) == 1,
        "Every clip gets this label: there is no other class, and no label for unknown clips.": (
            len(labels) == 1 and thresholds is None
        ),
    }
    return alignment_report(
        *clips,
        why.alignment.cost,
        why.alignment.weights,
        evidence=why.joint_evidence,
        classes=[ReportClass(*row) for row in zip(*columns, strict=True)],
        explained=list(labels).index(why.label),
        prediction=why.prediction,
        names=names,
        settings=settings,
        notes=[note for note, applies in notes.items() if applies],
    )
