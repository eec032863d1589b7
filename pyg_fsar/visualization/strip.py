"""Skeletons of a clip side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyg_fsar.skeleton import Skeleton
from pyg_fsar.visualization.style import SIDES, Clip, new_figure, to_bodies

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["View", "draw_bones", "extent", "plot_skeleton_strip", "present", "side_handles"]


def plot_skeleton_strip(
    clip: Clip,
    num_frames: int = 8,
    *,
    skeleton: str | Skeleton | None = None,
    view: tuple[int, int] | None = None,
    title: str | None = None,
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    r"""Draw evenly spaced frames of a clip side by side, seen from one direction.

    Bodies stand upright for any coordinate convention: the vertical axis is the one along which
    heads and legs are farthest apart, the horizontal axis the one with the larger extent of the
    other two. Missing joints (all zero) and their bones are omitted. Further bodies are paler.

    Args:
        clip: A clip, or its bodies.
        num_frames: How many frames to draw, at most.
        skeleton: Layout of the joints; a :class:`~pyg_fsar.data.SkeletonSequence` knows its own.
        view: Horizontal and vertical coordinate to draw instead.
        title: Title of the axes.
        legend: Explain the colours.
        ax: Axes to draw on; of a new figure (``ax.figure``) if not given.

    Shapes:
        - **clip:** ``[M, T, V, C]`` or ``[T, V, C]``

    Raises:
        ImportError: If matplotlib is missing.
        ValueError: If the clip does not fit its layout, has no joint to draw, or ``num_frames`` or
            ``view`` is out of range.
    """
    bodies, layout = to_bodies(clip, skeleton)
    frames = spread(bodies.shape[1], num_frames)
    bodies = bodies[:, frames]
    points = View.of(bodies, layout, view).project(bodies, layout)
    width, height = extent(points)
    step = 1.15 * width
    offsets = np.stack([step * np.arange(len(frames)), np.zeros(len(frames))], axis=1)
    if ax is None:
        inches = 1.9
        figure = new_figure(
            max(3.0, inches * step * len(frames) / height), inches + 0.8, layout="constrained"
        )
        ax = figure.add_subplot()
    draw_bones(ax, points + offsets[:, None], layout)
    ax.set_aspect("equal")
    ax.set_xlim(-0.55 * step, offsets[-1, 0] + 0.55 * step)
    low, high = np.nanmin(points[..., 1]), np.nanmax(points[..., 1])
    ax.set_ylim(low - 0.05 * height, high + 0.05 * height)
    ax.set_xticks(offsets[:, 0], [str(frame) for frame in frames])
    ax.set_yticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("frame")
    if title is not None:
        ax.set_title(title)
    if legend:
        ax.legend(
            handles=side_handles(layout),
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            frameon=False,
            handlelength=1.2,
        )
    return ax


@dataclass(frozen=True)
class View:
    """The two coordinates that a picture shows, whether the vertical one points down, and whether
    there is a third one.
    """

    horizontal: int
    vertical: int
    flip: bool
    has_depth: bool

    @classmethod
    def of(cls, bodies: np.ndarray, layout: Skeleton, view: tuple[int, int] | None) -> View:
        """The given view, or the one with the largest extent of the body."""
        channels = min(bodies.shape[-1], layout.dims)
        if view is not None and not (len(set(view)) == 2 and set(view) <= set(range(channels))):
            raise ValueError(f"view must be two different coordinates of 0..{channels - 1}")
        x = np.where(present(bodies, layout)[..., None], bodies, np.nan)[..., :channels].astype(
            float
        )
        if not np.isfinite(x).any():
            raise ValueError("the clip has no joint to draw: all are zero or NaN")
        flat = x.reshape(-1, *x.shape[2:])
        flat = flat[np.isfinite(flat).any((1, 2))]
        size = np.mean(np.nanmax(flat, 1) - np.nanmin(flat, 1), axis=0)
        legs = [*layout.parts.get("left_leg", ()), *layout.parts.get("right_leg", ())]
        head = layout.parts.get("head", ())
        both = flat[np.isfinite(flat[:, legs]).any((1, 2)) & np.isfinite(flat[:, head]).any((1, 2))]
        up = size
        if len(both) and legs and head:
            up = np.mean(np.nanmean(both[:, head], 1) - np.nanmean(both[:, legs], 1), axis=0)
        if view is None:
            vertical = int(np.argmax(np.abs(up)))
            others = [c for c in range(channels) if c != vertical]
            view = (max(others, key=lambda c: float(size[c])), vertical)
        return cls(*view, flip=bool(up[view[1]] < 0), has_depth=channels == 3)

    def project(self, bodies: np.ndarray, layout: Skeleton) -> np.ndarray:
        """Points ``[M, T, V, 2]``, each frame centred horizontally; NaN for missing joints."""
        points = bodies[..., [self.horizontal, self.vertical]].astype(float)
        points[~present(bodies, layout)] = np.nan
        if self.flip:
            points[..., 1] *= -1
        for t in range(points.shape[1]):
            across = points[:, t, :, 0]
            if np.isfinite(across).any():
                across -= (np.nanmin(across) + np.nanmax(across)) / 2
        return points


def present(bodies: np.ndarray, layout: Skeleton) -> np.ndarray:
    """Mask ``[M, T, V]`` of the joints that are present: not NaN, and not all zero.

    A joint of the trunk that is at the origin and surrounded by others is present: the clip was
    centred on it.
    """
    finite = np.isfinite(bodies).all(-1)
    nonzero = finite & (bodies != 0).any(-1)
    low = np.where(nonzero[..., None], bodies, np.inf).min(2)
    high = np.where(nonzero[..., None], bodies, -np.inf).max(2)
    surrounded = ((low <= 0) & (high >= 0)).all(-1)
    paired = {joint for pair in layout.pairs for joint in pair}
    trunk = np.array([joint not in paired for joint in range(layout.num_joints)])
    return nonzero | (finite & surrounded[..., None] & trunk)


def spread(total: int, count: int) -> np.ndarray:
    """At most ``count`` evenly spaced frame numbers out of ``total``, first and last included."""
    if count < 1:
        raise ValueError(f"num_frames must be at least 1, got {count}")
    return np.linspace(0, total - 1, min(count, total)).round().astype(int)


def extent(points: np.ndarray) -> tuple[float, float]:
    """Width of the widest frame and height over all frames, never zero."""
    across, along = points[..., 0], points[..., 1]
    width = 2 * float(np.nanmax(np.abs(across)))
    height = float(np.nanmax(along) - np.nanmin(along))
    least = max(width, height, 1e-6) / 10
    return max(width, least), max(height, least)


def draw_bones(ax: Axes, points: np.ndarray, layout: Skeleton, linewidth: float = 1.6) -> None:
    """Add bones, coloured by side, as one collection per body and side; points are final."""
    from matplotlib.collections import LineCollection

    for body, frames in enumerate(points):
        alpha = 1.0 if body == 0 else 0.45
        for side, bones in bones_by_side(layout).items():
            segments = frames[:, bones].reshape(-1, 2, 2)
            segments = segments[np.isfinite(segments).all((1, 2))]
            ax.add_collection(
                LineCollection(
                    segments,
                    colors=SIDES[side],
                    linewidths=linewidth,
                    alpha=alpha,
                    capstyle="round",
                    clip_on=False,
                    label=f"body {body} {side}",
                    zorder=3 if side == "trunk" else 4,
                ),
                autolim=False,
            )
        heads = frames[:, list(layout.parts.get("head", ()))[:1]].reshape(-1, 2)
        ax.plot(
            *heads.T,
            color=SIDES["trunk"],
            linestyle="",
            marker="o",
            markersize=2.8 * linewidth,
            markeredgewidth=0,
            alpha=alpha,
            clip_on=False,
            label=f"body {body} head",
        )


def bones_by_side(layout: Skeleton) -> dict[str, list[tuple[int, int]]]:
    """Bones of the left side, of the right side and of the trunk."""
    left, right = ({pair[k] for pair in layout.pairs} for k in (0, 1))
    sides: dict[str, list[tuple[int, int]]] = {"trunk": [], "left": [], "right": []}
    for bone in layout.bones:
        sides["left" if left & set(bone) else "right" if right & set(bone) else "trunk"].append(
            bone
        )
    return {side: bones for side, bones in sides.items() if bones}


def side_handles(layout: Skeleton) -> list[object]:
    """Entries for a legend of the sides."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=SIDES[side], linewidth=2, label=side)
        for side in ("left", "right", "trunk")
        if side in bones_by_side(layout)
    ]
