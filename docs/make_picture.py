"""Draw the picture of the README: naming a clip by one example of each of five actions.

    python docs/make_picture.py

writes ``docs/source/_static/few_shot.png``. Motions are generated; nothing is trained: clips are
compared by dynamic time warping of their frames.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure

from pyg_fsar import FewShotClassifier, FewShotModel, Skeleton
from pyg_fsar.datasets import FakeSkeletonDataset
from pyg_fsar.matching import build_matcher
from pyg_fsar.training import clip_transform
from pyg_fsar.visualization import plot_skeleton_strip
from pyg_fsar.visualization.strip import side_handles

PICTURE = Path(__file__).parent / "source" / "_static" / "few_shot.png"
CLASSES, QUERY_CLASS, QUERY = 5, 3, 4  # the query is clip 4 of the fourth class
NEAREST, OTHER, QUERY_COLOUR = "#0072B2", "#B8B8B8", "#FFF4DC"


def draw() -> Figure:
    """A row for each example, with its distance from the query, which stands above them."""
    data = FakeSkeletonDataset("ntu25", split="train", seed=2, clips_per_class=10, lost_joints=0)
    # Classes whose name has a semicolon are of two persons.
    labels = [label for label in data.labels.unique() if ";" not in data.class_names[label]]
    firsts = [int((data.labels == label).nonzero()[0]) for label in labels[:CLASSES]]
    query, *supports = data.gather([firsts[QUERY_CLASS] + QUERY, *firsts])
    names = [data.class_names[int(clip.y)].split(", ") for clip in supports]

    matcher = build_matcher("dtw", cost="euclidean")
    prepare = clip_transform(30, train=False, motion_only=True)
    classifier = FewShotClassifier(FewShotModel(torch.nn.Identity(), matcher), transform=prepare)
    classifier.fit(supports, range(CLASSES))
    found = int(classifier.predict([query])[0])
    bodies = torch.cat([prepare(clip).bodies for clip in (query, *supports)])
    distances = (-matcher(bodies[1:], torch.arange(CLASSES), bodies[:1]))[0].tolist()

    figure = Figure(figsize=(10, 1.1 * (CLASSES + 1) + 0.4), facecolor="white")
    grid = figure.add_gridspec(
        CLASSES + 1, 3, width_ratios=(1.7, 5.4, 2), left=0.015, right=0.98, top=0.99, bottom=0.07,
        hspace=0.15, wspace=0.02,
    )  # fmt: skip
    upright = clip_transform(30, train=False)
    for row, clip in enumerate([query, *supports]):
        label, strip, bar = (figure.add_subplot(grid[row, column]) for column in range(3))
        for ax in (label, bar):
            ax.axis("off")
        # Half from the side, so that movements forward and sideways both show.
        bodies = upright(clip).bodies[:1] @ turn_about_y(math.radians(40))
        plot_skeleton_strip(bodies, 10, skeleton="ntu25", view=(0, 1), legend=False, ax=strip)
        strip.set(xlabel="", xticks=[])
        if row == 0:
            strip.set_facecolor(QUERY_COLOUR)
            label.text(0, 0.5, "a new clip", va="center", weight="bold", fontsize=12)
            text = "distance\nafter time warping"
            bar.text(0.04, 0.5, text, va="center", fontsize=10, color="#3D3D3D")
            continue
        distance, nearest = distances[row - 1], row - 1 == found
        weight = "bold" if nearest else "normal"
        text = ",\n".join(names[row - 1])
        label.text(0, 0.5, text, va="center", fontsize=9.5, weight=weight)
        bar.barh(0, distance, height=0.5, color=NEAREST if nearest else OTHER)
        end = distance + 0.03 * max(distances)
        bar.text(end, 0, f"{distance:.0f}", va="center", fontsize=10, weight=weight)
        bar.set(xlim=(-0.05 * max(distances), 1.25 * max(distances)), ylim=(-1, 1))
    figure.legend(
        handles=side_handles(Skeleton.get("ntu25")), loc="lower center", ncols=3, frameon=False,
        bbox_to_anchor=(0.49, -0.005),
    )  # fmt: skip
    return figure


def turn_about_y(angle: float) -> torch.Tensor:
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.tensor([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])


def main(path: Path = PICTURE) -> None:
    path.parent.mkdir(exist_ok=True)
    draw().savefig(path, dpi=100)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
