"""The alignment of two clips as a page that a browser shows without a server."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyg_fsar.matching import dtw_path
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.visualization.strip import View, present
from pyg_fsar.visualization.style import Clip, to_bodies, to_numpy

__all__ = ["ReportClass", "alignment_report"]

TEMPLATE = Path(__file__).with_name("report.html")
# Classes in the table of distances, rows and columns of the matrix shown, half the height of a
# drawing, and the factor and the value for missing joints with which coordinates are stored.
MOST_CLASSES, MOST_CELLS, REACH, FACTOR, MISSING = 12, 300, 100.0, 300, -32768
FORBIDDEN = 255  # level of a cell whose cost is infinite


class ReportClass(NamedTuple):
    """A class that the query was compared with.

    Args:
        label: Its label.
        distance: Distance of the query.
        probability: Probability of the query.
        threshold: Largest distance at which a clip is taken to be of this class, if there is one.

    Example:
        >>> found = ReportClass("wave", distance=1.5, probability=0.8)
        >>> found.label
        'wave'
    """

    label: Any
    distance: float
    probability: float
    threshold: float | None = None


def alignment_report(
    query: Clip,
    support: Clip,
    cost: Tensor | np.ndarray,
    weights: Tensor | np.ndarray,
    *,
    evidence: Tensor | np.ndarray,
    classes: Sequence[ReportClass],
    explained: int = 0,
    prediction: Any = None,
    names: tuple[str, str] = ("query", "example"),
    skeleton: str | Skeleton | None = None,
    settings: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> str:
    r"""An HTML page that shows how a query and a support clip were aligned: both as moving
    skeletons, the frame costs with the path, the evidence of the joints, and the distances of all
    classes. It needs no other file and no network.

    The page moves along the monotone path of the largest total weight, which for DTW is its path.
    Clips may be longer than the cost matrix, as the input of an encoder is longer than its output.
    Matrices of more than 300 rows or columns are shown at a lower resolution.

    Args:
        query: Clip of the rows.
        support: Clip of the columns.
        cost: Frame costs.
        weights: How much each cell counts, as :meth:`~pyg_fsar.matching.Matcher.align` gives it.
        evidence: How much each joint speaks for the explained class, below 0 against it.
        classes: What the query was compared with, in any order.
        explained: Position in ``classes`` of the class of the support clip.
        prediction: Label that the query got; that of the explained class if not given.
        names: Names of the clips.
        skeleton: Layout of the joints; a :class:`~pyg_fsar.data.SkeletonSequence` knows its own.
        settings: What else the page lists, by name.
        notes: Sentences that the page shows below its heading.

    Shapes:
        - **query:** ``[M, T, V, C]`` or ``[T, V, C]``
        - **support:** ``[M', T', V, C]`` or ``[T', V, C]``
        - **cost**, **weights:** any ``[N, N']``
        - **evidence:** ``[V]``

    Returns:
        The text of the page, of ASCII characters only. Labels and names are escaped.

    Raises:
        ValueError: If a shape is another, costs contain NaN or nothing finite, evidence or weights
            are not finite, no cell has a weight, there are no classes, ``explained`` is out of
            range, the layouts differ, or a clip cannot be drawn.
    """
    drawn, layout, half = _drawings((query, support), skeleton)
    costs, weight = _checked_matrices(to_numpy(cost), to_numpy(weights))
    values = to_numpy(evidence).astype(float)
    if values.shape != (layout.num_joints,) or not np.isfinite(values).all():
        raise ValueError(
            f"evidence must be one finite number for each of {layout.num_joints} joints, got "
            f"shape {values.shape}"
        )
    if not classes:
        raise ValueError("there are no classes; give those that the query was compared with")
    if not 0 <= explained < len(classes):
        raise ValueError(f"explained must be in 0..{len(classes) - 1}, got {explained}")
    path = _heaviest_path(weight)
    total = weight.sum()
    carried = float(weight[path[:, 0], path[:, 1]].sum() / total)
    label = str(classes[explained].label)
    data = {
        "label": label,
        "prediction": label if prediction is None else str(prediction),
        "joints": [name.replace("_", " ") for name in layout.joints],
        "bones": layout.bones,
        "evidence": [_short(value) for value in values],
        "half": half,
        "clips": [
            {"name": str(name), **clip} for name, clip in zip(names, drawn, strict=True)
        ],
        "matrix": _matrix(costs, weight),
        "steps": _steps(path, costs, [clip["frames"] for clip in drawn]),
        "carried": carried,
        "classes": _ranking(classes, explained),
        "others": max(0, len(classes) - MOST_CLASSES),
        "settings": [[str(key), str(value)] for key, value in (settings or {}).items()],
        "notes": list(map(str, notes)),
    }  # fmt: skip
    same = data["label"] == data["prediction"]
    return _page(f"Why {label}?" if same else f"Why not {label}?", data)


def _page(title: str, data: dict[str, Any]) -> str:
    """The template with what it shows; no text of the data can end up as markup or code."""
    template = TEMPLATE.read_text(encoding="utf-8")
    script = template.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # In JSON these characters can only stand in texts, where their escapes mean the same.
    escaped = {ord(character): f"\\u{ord(character):04x}" for character in "<>&"}
    values = {
        "TITLE": html.escape(title).encode("ascii", "xmlcharrefreplace").decode(),
        "SCRIPT": f"sha256-{digest}",
        "DATA": json.dumps(data, separators=(",", ":"), allow_nan=False).translate(escaped),
    }
    return re.sub("%(TITLE|SCRIPT|DATA)%", lambda found: values[found[1]], template)


def _drawings(
    clips: tuple[Clip, Clip], skeleton: str | Skeleton | None
) -> tuple[list[dict[str, Any]], Skeleton, tuple[float, float]]:
    """Both clips in one view and scale, y up, their layout, and half of the drawings' extent."""
    (query, layout), (support, other) = (to_bodies(clip, skeleton) for clip in clips)
    if layout != other:
        raise ValueError(
            f"the clips have skeletons '{layout.name}' and '{other.name}'; give clips of one layout"
        )
    view = View.of(query, layout, None)
    same = View.of(support, layout, (view.horizontal, view.vertical))
    oriented = [_oriented(query, layout, view), _oriented(support, layout, same)]
    # A body may be turned about the vertical axis.
    width = max(float(np.nanmax(np.linalg.norm(x[..., [0, 2]], axis=-1))) for x in oriented)
    height = max(float(np.nanmax(np.abs(x[..., 1]))) for x in oriented)
    scale = REACH / max(width, height, 1e-9)
    drawn = []
    for points in oriented:
        stored = np.where(np.isnan(points), MISSING, (points * scale * FACTOR).round())
        drawn.append({
            "bodies": len(points),
            "frames": points.shape[1],
            "turns": bool(np.nanmax(np.abs(points[..., 2])) > 0),
            "points": _base64(stored.astype("<i2")),
        })  # fmt: skip
    return drawn, layout, (width * scale, height * scale)


def _oriented(bodies: np.ndarray, layout: Skeleton, view: View) -> np.ndarray:
    """Points ``[M, T, V, 3]`` (right, up, towards the viewer) around the middle of the clip, in 3D
    seen from the front; NaN for missing joints.
    """
    points = np.zeros((*bodies.shape[:3], 3))
    points[..., :2] = bodies[..., [view.horizontal, view.vertical]]
    if view.flip:
        points[..., 1] *= -1
    if view.has_depth:
        # The direction that makes it a view of the body, and not of its mirror image.
        towards = np.cross(*np.eye(3)[[view.horizontal, view.vertical]])
        points[..., 2] = bodies[..., :3] @ towards * (-1 if view.flip else 1)
    there = present(bodies, layout)
    if view.has_depth and layout.pairs:
        left, right = (list(side) for side in zip(*layout.pairs, strict=True))
        both = there[0, :, left] & there[0, :, right]
        across = points[0, :, left, 0] - points[0, :, right, 0]
        if across[both].sum() < 0:  # from behind
            points[..., [0, 2]] *= -1
    points[~there] = np.nan
    return points - (np.nanmin(points, axis=(0, 1, 2)) + np.nanmax(points, axis=(0, 1, 2))) / 2


def _checked_matrices(cost: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if cost.ndim != 2 or 0 in cost.shape or cost.shape != weights.shape:
        raise ValueError(
            f"cost and weights must be matrices of one shape, got {cost.shape} and {weights.shape}"
        )
    if np.isnan(cost).any() or not np.isfinite(cost).any() or not np.isfinite(weights).all():
        raise ValueError("cost contains NaN or nothing finite, or weights are not finite")
    weights = np.maximum(weights.astype(float), 0)
    if not weights.any():
        raise ValueError("no frames are aligned: all weights are zero")
    return cost.astype(float), weights


def _heaviest_path(weights: np.ndarray) -> np.ndarray:
    """Monotone path ``[L, 2]`` of the largest total weight, without ends that have none."""
    path = dtw_path(torch.from_numpy(-weights)).numpy()
    (counting,) = (weights[path[:, 0], path[:, 1]] > 1e-6 * weights.max()).nonzero()
    return path[counting[0] : counting[-1] + 1]


def _steps(path: np.ndarray, cost: np.ndarray, frames: list[int]) -> dict[str, list[float]]:
    """Positions along the path, such that from one to the next no clip leaves out a frame."""
    per_cell = np.array(frames) / cost.shape
    corners = (path + 0.5) * per_cell - 0.5  # in frames of the clips
    half = np.maximum(per_cell / 2 - 0.5, 0)  # frames of a cell before and after its middle
    corners = np.concatenate([corners[:1] - half, corners, corners[-1:] + half])
    gaps = np.ceil(np.abs(np.diff(corners, axis=0)).max(axis=1))
    kept = np.concatenate([[True], gaps > 0])
    at = np.concatenate([[0], gaps.cumsum()])[kept]
    numbers = np.arange(at[-1] + 1)
    exact = np.stack([np.interp(numbers, at, axis) for axis in corners[kept].T], axis=1)
    nearest = np.interp(numbers, at, np.arange(len(corners))[kept]).round().astype(int) - 1
    cells = path[nearest.clip(0, len(path) - 1)]
    place = (exact + 0.5) / per_cell - 0.5
    # Halves go up, not to the even number, which would leave out every other frame.
    shown = np.floor(exact.round(6) + 0.5).astype(int).clip(0, np.array(frames) - 1)
    return {
        "row": place[:, 0].round(2).tolist(),
        "column": place[:, 1].round(2).tolist(),
        "query": shown[:, 0].tolist(),
        "example": shown[:, 1].tolist(),
        "cost": [_short(value) for value in cost[cells[:, 0], cells[:, 1]]],
    }


def _matrix(cost: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """Costs and weights as bytes; cells are put together where there are too many to be seen."""
    size = -(-np.array(cost.shape) // MOST_CELLS)  # of a block that becomes one cell
    finite = np.isfinite(cost)
    low, high = cost.min(where=finite, initial=np.inf), cost.max(where=finite, initial=-np.inf)
    parts = _blocks(finite, size).sum(axis=(1, 3))
    sums = _blocks(np.where(finite, cost - low, 0), size).sum(axis=(1, 3))
    levels = (FORBIDDEN - 1) / max(high - low, 1e-30) * sums / np.maximum(parts, 1)
    levels = np.where(parts > 0, levels.round(), FORBIDDEN)
    dots = _blocks(weights, size).max(axis=(1, 3)) / weights.max() * 255
    return {
        "rows": cost.shape[0],
        "columns": cost.shape[1],
        "shown": levels.shape,
        "low": _short(low),
        "high": _short(high),
        "levels": _base64(levels.astype(np.uint8)),
        "weights": _base64(dots.round().astype(np.uint8)),
    }


def _blocks(values: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Blocks ``[R, r, K, k]`` of a matrix, filled up with zeros."""
    values = np.pad(values, [(0, -n % k) for n, k in zip(values.shape, size, strict=True)])
    rows, columns = values.shape // size
    return values.reshape(rows, size[0], columns, size[1])


def _ranking(classes: Sequence[ReportClass], explained: int) -> list[dict[str, Any]]:
    """The nearest classes and the explained one, nearest first."""
    order = sorted(range(len(classes)), key=lambda number: classes[number].distance)
    kept = order[:MOST_CLASSES]
    if explained not in kept:
        kept[-1] = explained
    return [
        {
            "label": str(classes[number].label),
            "distance": _short(classes[number].distance),
            "probability": _short(classes[number].probability),
            "threshold": _short(classes[number].threshold),
            "explained": number == explained,
        }
        for number in kept
    ]


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _short(value: float | None) -> float | None:
    """Four significant digits; None for what JSON has no number for."""
    return None if value is None or not np.isfinite(value) else float(f"{value:.4g}")
