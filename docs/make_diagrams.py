"""Draw the diagrams of the documentation, each for light and for dark pages.

    python docs/make_diagrams.py

writes ``data_way_light.svg`` and ``data_way_dark.svg``, the way of the data from a file to labels,
and ``shots_light.svg`` and ``shots_dark.svg``, the table ``shots.csv`` of ``benchmarks/shots.py``,
into ``docs/source/_static``.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

STATIC = Path(__file__).parent / "source" / "_static"
# Text, faces of boxes, and two colours of Okabe and Ito that are distinct for colour-blind readers.
THEMES = {
    "light": {"ink": "#1A1A1A", "face": "#EAF1F8", "main": "#0072B2", "other": "#B85000"},
    "dark": {"ink": "#E8E8E8", "face": "#26333F", "main": "#56B4E9", "other": "#E69F00"},
}
Theme = dict[str, str]
# What there is, and what makes the next of it.
STAGES = (
    ("raw file", "as a tool wrote it", "reader"),
    ("store", "frames on disk", "dataset"),
    ("SkeletonSequence", "clip  [M, T, V, C]", "transform"),
    ("SkeletonSequence", "prepared clip", "EpisodeLoader"),
    ("Episode", "bodies  [B, T, V, C]", "encoder"),
    ("body embeddings", "[B, T', V, C']", "mean over bodies"),
    ("EmbeddedClips", "[clips, T', V, C']", "matcher"),
    ("logits", "[queries, classes]", ""),
)
ROW, GAP = 4, 1.3  # boxes in a row, and the distance of rows


def data_way(theme: Theme) -> Figure:
    """Boxes for what is handed on, in two rows, and arrows for what makes it."""
    figure = Figure(figsize=(9.2, 3.4))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(-0.58, ROW - 0.42), ylim=(-0.4, GAP + 0.5))
    ax.axis("off")
    for number, (name, what, step) in enumerate(STAGES):
        x, y = number % ROW, GAP * (1 - number // ROW)
        box = FancyBboxPatch(
            (x - 0.35, y - 0.24), 0.7, 0.48, boxstyle="round,pad=0.02,rounding_size=0.06",
            facecolor=theme["face"], edgecolor=theme["main"], linewidth=1.4,
        )  # fmt: skip
        ax.add_patch(box)
        for text, offset, size, weight in ((name, 0.08, 9.5, "bold"), (what, -0.1, 8.5, "normal")):
            ax.text(
                x, y + offset, text, ha="center", va="center", size=size, weight=weight,
                color=theme["ink"],
            )  # fmt: skip
        if step:
            _arrow(ax, number, step, theme)
    return figure


def _arrow(ax: Axes, number: int, step: str, theme: Theme) -> None:
    """From a stage to the next, which may begin the second row."""
    x, y = number % ROW, GAP * (1 - number // ROW)
    style = {"arrowstyle": "-|>", "mutation_scale": 13, "color": theme["other"], "linewidth": 1.6}
    if x < ROW - 1:
        ax.add_patch(FancyArrowPatch((x + 0.38, y), (x + 0.62, y), **style))
        ax.text(
            x + 0.5, y + 0.29, step, ha="center", va="bottom", size=9, style="italic",
            color=theme["other"],
        )  # fmt: skip
        return
    middle = GAP / 2 + 0.05
    ax.plot(
        [x, x, 0, 0], [y - 0.27, middle, middle, middle], color=theme["other"], linewidth=1.6,
        solid_joinstyle="round",
    )  # fmt: skip
    ax.add_patch(FancyArrowPatch((0, middle), (0, 0.25), **style))
    ax.text(
        ROW / 2 - 0.5, middle + 0.03, step, ha="center", va="bottom", size=9, style="italic",
        color=theme["other"],
    )  # fmt: skip


def shots(theme: Theme) -> Figure:
    """A panel for each data set, a curve with its interval for each method."""
    with (STATIC / "shots.csv").open(encoding="utf-8", newline="") as file:
        names, *rows = csv.reader(file)
    numbers = [int(row[0]) for row in rows]
    figure = Figure(figsize=(9.2, 3.2), layout="constrained")
    sources = list(dict.fromkeys(name.split(", ")[0] for name in names[1:]))
    for ax, source in zip(figure.subplots(1, len(sources), sharey=True), sources, strict=True):
        for colour, marker in (("main", "o"), ("other", "s")):
            method = {"main": "body15-untrained", "other": "cosine DTW"}[colour]
            column = names.index(f"{source}, {method}")
            mean, half = zip(*(map(float, row[column].split(" ± ")) for row in rows), strict=True)
            low = [m - h for m, h in zip(mean, half, strict=True)]
            high = [m + h for m, h in zip(mean, half, strict=True)]
            ax.plot(numbers, mean, marker=marker, markersize=4, color=theme[colour], label=method)
            ax.fill_between(numbers, low, high, color=theme[colour], alpha=0.25, linewidth=0)
        ax.set_title(source, size=11, color=theme["ink"])
        ax.set_xlabel("examples of each class", color=theme["ink"])
        ax.set_xticks(numbers)
        ax.grid(axis="y", color=theme["ink"], alpha=0.15)
        ax.tick_params(colors=theme["ink"])
        for side, spine in ax.spines.items():
            spine.set(color=theme["ink"], visible=side in ("left", "bottom"))
        ax.patch.set_visible(False)
    first, *_, last = figure.axes
    first.set_ylabel("accuracy, 5 classes (%)", color=theme["ink"])
    last.legend(loc="lower right", frameon=False, labelcolor=theme["ink"], fontsize=9)
    return figure


DIAGRAMS = {"data_way": data_way, "shots": shots}


def main(folder: Path = STATIC) -> None:
    folder.mkdir(exist_ok=True)
    # Without a date, and with names that do not change, so that the same drawing is the same file.
    with matplotlib.rc_context({"svg.hashsalt": "pyg_fsar"}):
        for name, draw in DIAGRAMS.items():
            for theme, colours in THEMES.items():
                draw(colours).savefig(
                    folder / f"{name}_{theme}.svg", transparent=True, metadata={"Date": None}
                )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
