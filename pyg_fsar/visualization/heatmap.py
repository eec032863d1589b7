"""Similarity of a skeleton's joints, which shows over-smoothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pyg_fsar.metrics import cosine_similarity_map
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.visualization.style import new_figure, to_numpy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_joint_similarity", "plot_similarity_maps"]


def plot_joint_similarity(
    x: Tensor | np.ndarray | Mapping[str, Tensor | np.ndarray],
    skeleton: str | Skeleton = "ntu25",
    *,
    title: str | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    r"""Heatmap of the cosine similarity between the joints' features, one panel per input, as in
    "Learning Spatial-Preserved Skeleton Representations for Few-Shot Action Recognition"
    (ECCV 2022).

    An encoder that over-smooths gives a panel of one colour.

    Args:
        x: Features of one frame, or of several whose similarities are averaged; or a mapping from
            panel titles to such features.
        skeleton: Layout of the joints.
        title: Title of the figure.
        limits: Range of the colours, which all panels share; from the smallest similarity to 1 if
            not given.

    Shapes:
        - **x:** ``[V, C]`` or ``[T, V, C]``

    Raises:
        ImportError: If matplotlib is missing.
        ValueError: If there is no panel, a shape is another, or joints do not fit the layout.
    """
    layout = Skeleton.get(skeleton)
    panels = dict(x) if isinstance(x, Mapping) else {"": x}
    maps = {
        name: _similarity(torch.as_tensor(value), layout, name) for name, value in panels.items()
    }
    return plot_similarity_maps(maps, layout, title=title, limits=limits)


def plot_similarity_maps(
    maps: Mapping[str, Tensor | np.ndarray],
    skeleton: str | Skeleton = "ntu25",
    *,
    title: str | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    r"""Heatmaps of similarities between joints that are known already, see
    :func:`plot_joint_similarity`.

    Args:
        maps: At least one map of similarities, by the title of its panel.
        skeleton: Layout of the joints.
        title: Title of the figure.
        limits: As for :func:`plot_joint_similarity`.

    Shapes:
        - **maps:** ``[V, V]`` each

    Raises:
        ImportError: If matplotlib is missing.
        ValueError: If there is no map, or it does not fit the layout.
    """
    layout = Skeleton.get(skeleton)
    if not maps:
        raise ValueError("there is no panel to draw: the mapping is empty")
    shape = (layout.num_joints, layout.num_joints)
    arrays = {name: to_numpy(values) for name, values in maps.items()}
    for name, values in arrays.items():
        if values.shape != shape:
            raise ValueError(f"map '{name}' must be {shape} for {layout.name}, got {values.shape}")
    low, high = limits or (min(float(values.min()) for values in arrays.values()), 1.0)

    side, label = max(2.4, 0.145 * layout.num_joints), 1.1
    figure = new_figure(side * len(arrays) + label + 0.9, side + label + 0.4, layout="compressed")
    all_axes = figure.subplots(1, len(arrays), squeeze=False)[0]
    names = [name.replace("_", " ") for name in layout.joints]
    for ax, (name, values) in zip(all_axes, arrays.items(), strict=True):
        image = ax.imshow(values, vmin=low, vmax=high, cmap="viridis", interpolation="nearest")
        ax.set_title(name)
        ax.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        ax.set_yticks(range(len(names)), names if ax is all_axes[0] else [], fontsize=7)
        ax.tick_params(length=0)
    figure.colorbar(image, ax=list(all_axes), label="cosine similarity", pad=0.02, aspect=25)
    if title is not None:
        figure.suptitle(title)
    return figure


def _similarity(x: Tensor, layout: Skeleton, name: str) -> np.ndarray:
    what = f"panel '{name}'" if name else "input"
    if x.dim() not in (2, 3) or 0 in x.shape:
        raise ValueError(f"{what}: features are [V, C] or [T, V, C], got shape {tuple(x.shape)}")
    layout.check_joints(x.size(-2), what)
    if not bool(x.isfinite().all()):
        raise ValueError(f"{what}: features contain NaN or infinity")
    return to_numpy(cosine_similarity_map(x.double()))
