"""Figures that read like the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyg_fsar.reproduce.statistics import Spread
from pyg_fsar.visualization.style import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_accuracy", "plot_singular_values"]


def plot_accuracy(
    ours: Mapping[str, Mapping[str, Spread]], paper: Mapping[str, float], axis: str
) -> Figure:
    """Accuracy over the rows of an experiment, with the standard deviation over seeds, beside the
    paper's.

    Args:
        ours: Of each data set, what was measured of each row.
        paper: The paper's number of each row that it has.
        axis: What the rows are.
    """
    rows = list(dict.fromkeys(row for found in (*ours.values(), paper) for row in found))
    figure = new_figure(5, 3.6, layout="constrained")
    axes = figure.subplots()
    for marker, (name, found) in zip("osD^vP", ours.items(), strict=False):
        places = [rows.index(row) for row in found]
        means = [value.mean for value in found.values()]
        sds = [value.sd or 0.0 for value in found.values()]
        axes.errorbar(places, means, yerr=sds, marker=marker, capsize=3, label=f"ours, {name}")
    if paper:
        places = [rows.index(row) for row in paper]
        axes.plot(places, list(paper.values()), "k--x", label="paper, NTU-T")
    # The scales of the paper are far from even, and are drawn at even distances.
    axes.set_xticks(range(len(rows)), rows)
    axes.set_xlabel(axis)
    axes.set_ylabel("accuracy (%)")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def plot_singular_values(values: Mapping[str, Sequence[float]]) -> Figure:
    """Singular values of embedded frames, each divided by the largest, in falling order.

    Args:
        values: Their mean over frames, for each row.
    """
    figure = new_figure(5, 3.6, layout="constrained")
    axes = figure.subplots()
    for name, singular in values.items():
        shown = np.maximum(singular, 1e-5)
        axes.plot(range(1, len(shown) + 1), shown, marker=".", label=name)
    axes.set_yscale("log")
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("number of the singular value")
    axes.set_ylabel("singular value / largest")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
