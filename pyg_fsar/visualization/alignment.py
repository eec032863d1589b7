"""Alignment of the frames of a query with those of a support clip."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyg_fsar.matching import dtw_path
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.visualization.strip import View, draw_bones, extent, side_handles
from pyg_fsar.visualization.style import Clip, new_figure, to_bodies, to_numpy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_alignment"]

# Inches: longer side and minimum side of the matrix, tallest body, space around bodies, and space
# for ticks and labels.
MATRIX, LEAST, TALLEST, GAP, MARGIN = 4.6, 1.8, 1.3, 0.15, 0.85


class Strip(NamedTuple):
    """Skeletons along one axis of the matrix."""

    points: np.ndarray  # [M, K, V, 2] in inches around the middle of each frame
    positions: np.ndarray  # [K] rows or columns of the matrix
    layout: Skeleton

    @property
    def size(self) -> np.ndarray:
        """Width and height in inches."""
        return 2 * np.nanmax(np.abs(self.points), axis=(0, 1, 2)) + GAP


def plot_alignment(
    cost: Tensor | np.ndarray,
    alignment: Tensor | np.ndarray | None = None,
    query: Clip | None = None,
    support: Clip | None = None,
    *,
    skeleton: str | Skeleton | None = None,
    num_frames: int = 6,
    view: tuple[int, int] | None = None,
    title: str | None = None,
) -> Figure:
    r"""Frame costs of a query and a support clip, their alignment, and, if clips are given, their
    skeletons along the axes. Dotted lines lead from each drawn query frame to its match.

    Clips may be longer than the cost matrix, as the input of an encoder is longer than its output.
    A row then shows the middle one of the frames that it represents.

    Args:
        cost: Frame costs.
        alignment: A path as from :func:`~pyg_fsar.matching.dtw_path`, drawn as a line, or weights
            as from :func:`~pyg_fsar.matching.soft_alignment` or
            :meth:`~pyg_fsar.matching.Matcher.align`, drawn as dots by their size. The path of DTW
            if not given.
        query: Clip drawn down the rows.
        support: Clip drawn along the columns.
        skeleton: Layout of the joints; a :class:`~pyg_fsar.data.SkeletonSequence` knows its own.
        num_frames: How many frames of each clip to draw, at most.
        view: Coordinates to draw, see :func:`plot_skeleton_strip`.
        title: Title of the figure.

    Shapes:
        - **cost:** ``[T, T']``
        - **alignment:** ``[L, 2]`` integers, or ``[T, T']`` floats
        - **query:** ``[M, T, V, C]`` or ``[T, V, C]``
        - **support:** ``[M', T', V, C]`` or ``[T', V, C]``

    Raises:
        ImportError: If matplotlib is missing.
        ValueError: If a shape is another, the cost contains NaN, the path leaves the matrix, or a
            clip cannot be drawn.
    """
    costs = to_numpy(cost)
    if costs.ndim != 2 or 0 in costs.shape:
        raise ValueError(f"cost must be one matrix [T, T'], got shape {costs.shape}")
    if np.isnan(costs).any():
        raise ValueError("cost contains NaN")
    if alignment is None:
        alignment = dtw_path(torch.as_tensor(cost))
    drawn = _check_alignment(to_numpy(alignment), costs.shape)

    # In inches; a matrix of few rows or columns must still leave space for its labels.
    height, width = np.maximum(LEAST, MATRIX / max(costs.shape) * np.array(costs.shape))
    rows, columns = _strips(
        (query, support), costs.shape, (height, width), num_frames, skeleton, view
    )
    beside = rows.size[0] if rows else 0.0
    above = columns.size[1] if columns else 0.0
    head = 0.35 + 0.2 * (title or "").count("\n")  # room for every line of the title
    page = np.array([MARGIN + beside + width + 0.9, MARGIN + height + above + head])
    figure = new_figure(*page)

    def place(x: float, y: float, w: float, h: float, label: str) -> Axes:
        return figure.add_axes(np.array([x, y, w, h]) / np.tile(page, 2), label=label)

    left = MARGIN + beside
    ax = place(left, MARGIN, width, height, "cost")
    bar = place(left + width + 0.1, MARGIN, 0.12, height, "colorbar")
    _draw_matrix(ax, bar, costs)
    cell = 72 * min(height / costs.shape[0], width / costs.shape[1])
    _draw_alignment(ax, drawn, cell)
    if columns:
        side = place(left, MARGIN + height, width, above, "support")
        side.set(xlim=ax.get_xlim(), ylim=(-above / 2, above / 2))
        _draw_strip(side, columns, np.array([costs.shape[1] / width, 1]), axis=0)
    if rows:
        side = place(MARGIN, MARGIN, beside, height, "query")
        side.set(xlim=(-beside / 2, beside / 2), ylim=ax.get_ylim())
        # Rows count downwards.
        _draw_strip(side, rows, np.array([1, -costs.shape[0] / height]), axis=1)
        side.set(yticks=rows.positions, ylabel="query frame")
        ax.set(yticks=[], ylabel="")
        _draw_guides(ax, drawn, rows.positions, to_top=columns is not None)
    _explain(figure, rows or columns, title, middle=(left + width / 2) / page[0])
    return figure


def _check_alignment(alignment: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Check that the alignment is a path or weights of that matrix, and return it."""
    if np.issubdtype(alignment.dtype, np.integer):
        if alignment.ndim != 2 or alignment.shape[1] != 2 or not len(alignment):
            raise ValueError(f"a path is [L, 2] pairs of frames, got shape {alignment.shape}")
        if (alignment < 0).any() or (alignment >= shape).any():
            raise ValueError(f"the path leaves the cost matrix of shape {shape}")
    elif alignment.shape != shape:
        raise ValueError(
            f"alignment weights of shape {alignment.shape} do not fit the cost matrix of shape "
            f"{shape}; a path must be integers"
        )
    return alignment


def _strips(
    clips: tuple[Clip | None, Clip | None],
    lengths: tuple[int, ...],
    sides: tuple[float, float],
    num_frames: int,
    skeleton: str | Skeleton | None,
    view: tuple[int, int] | None,
) -> list[Strip | None]:
    """Query and support as strips of one scale and, if both have it, one view."""
    strips: list[Strip | None] = []
    for clip, length in zip(clips, lengths, strict=True):
        if clip is None:
            strips.append(None)
            continue
        bodies, layout = to_bodies(clip, skeleton)
        positions = _evenly(length, num_frames)
        middle = (positions + 0.5) * bodies.shape[1] / length - 0.5
        bodies = bodies[:, middle.round().astype(int)]
        seen = View.of(bodies, layout, view)
        view = (seen.horizontal, seen.vertical)
        points = seen.project(bodies, layout)
        points[..., 1] -= (np.nanmin(points[..., 1]) + np.nanmax(points[..., 1])) / 2
        strips.append(Strip(points, positions, layout))
    scales = []
    for strip, length, side, axis in zip(strips, lengths, sides, (1, 0), strict=True):
        if strip is not None:
            size = extent(strip.points)
            step = int(np.diff(strip.positions, append=strip.positions[0] + length)[0])
            scales += [0.95 * side * step / length / size[axis], TALLEST / size[1]]
    return [strip and strip._replace(points=strip.points * min(scales)) for strip in strips]


def _evenly(length: int, count: int) -> np.ndarray:
    """At most ``count`` row or column numbers with equal spacing, centred within ``length``."""
    if count < 1:
        raise ValueError(f"num_frames must be at least 1, got {count}")
    positions = np.arange(0, length, -(-length // count))
    return positions + (length - 1 - positions[-1]) // 2


def _draw_strip(ax: Axes, strip: Strip, scale: np.ndarray, axis: int) -> None:
    points = strip.points * scale
    points[..., axis] += strip.positions[:, None]
    draw_bones(ax, points, strip.layout)
    ax.set(xticks=[], yticks=[])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _draw_alignment(ax: Axes, alignment: np.ndarray, cell: float) -> None:
    """A path as a line, weights as the areas of dots; ``cell`` is a cell's size in points."""
    from matplotlib.patheffects import Normal, Stroke

    if np.issubdtype(alignment.dtype, np.integer):
        ax.plot(
            *alignment.T[::-1],
            color="white",
            linewidth=2,
            marker="o",
            markersize=min(5.0, 0.5 * cell),
            label="path",
            path_effects=[Stroke(linewidth=3.5, foreground="black"), Normal()],
        )
    else:
        weights = np.abs(alignment) / max(np.abs(alignment).max(), 1e-12)
        row, column = (weights > 0.01).nonzero()
        area = min(0.85 * cell, 22) ** 2 * weights[row, column]
        ax.scatter(
            column, row, s=area, color="white", edgecolors="black", linewidths=0.6, label="weights"
        )


def _draw_guides(ax: Axes, alignment: np.ndarray, rows: np.ndarray, to_top: bool) -> None:
    """Dotted lines from each drawn query frame to its match, and on to the support above."""
    for row in rows:
        if np.issubdtype(alignment.dtype, np.integer):
            columns = alignment[alignment[:, 0] == row, 1]
            if not len(columns):
                continue
            column = columns[len(columns) // 2]
        else:
            column = alignment[row].argmax()
        x, y = [-0.5, column], [row, row]
        if to_top:
            x, y = [*x, column], [*y, -0.5]
        ax.plot(x, y, color="white", linewidth=1.0, linestyle=":", label="match", zorder=1.5)


def _draw_matrix(ax: Axes, bar: Axes, costs: np.ndarray) -> None:
    image = ax.imshow(costs, cmap="cividis", aspect="auto", interpolation="nearest")
    ax.set(xlabel="support frame", ylabel="query frame")
    ax.locator_params(integer=True)
    ax.figure.colorbar(image, cax=bar, label="frame cost")


def _explain(figure: Figure, strip: Strip | None, title: str | None, middle: float) -> None:
    """Title above the matrix, and below it a legend of the skeletons' sides."""
    if strip:
        figure.legend(
            handles=side_handles(strip.layout),
            loc="lower center",
            bbox_to_anchor=(middle, 0),
            ncols=3,
            frameon=False,
        )
    if title is not None:
        figure.suptitle(title, x=middle, y=0.99, va="top", fontsize="large")
