"""Colours, figures and input checks of all pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.skeleton import Skeleton

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SIDES", "Clip", "new_figure", "to_bodies", "to_numpy"]

#: Input that can be drawn: a clip, bodies ``[M, T, V, C]``, or one body ``[T, V, C]``.
Clip = SkeletonSequence | Tensor | np.ndarray

#: Colours of Okabe and Ito, which are distinct for colour-blind readers and in grey print.
SIDES = {"left": "#0072B2", "right": "#D55E00", "trunk": "#3D3D3D"}


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """A figure in inches that is not managed by pyplot, so that no global state changes.

    Raises:
        ImportError: If matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install pyg-fsar[examples]") from error
    return Figure(figsize=(width, height), **options)


def to_numpy(array: Tensor | np.ndarray) -> np.ndarray:
    """Any tensor as a numpy array, half precision as float32."""
    if isinstance(array, Tensor):
        array = array.detach().cpu()
        array = (array.float() if array.is_floating_point() else array).numpy()
    return np.asarray(array)


def to_bodies(clip: Clip, skeleton: str | Skeleton | None) -> tuple[np.ndarray, Skeleton]:
    """Bodies ``[M, T, V, C]`` of a clip and their layout.

    Raises:
        ValueError: If the layout is not known, the shape is another, or joints do not fit.
    """
    if isinstance(clip, SkeletonSequence):
        skeleton = skeleton or clip.skeleton
        clip = clip.bodies
    if skeleton is None:
        raise ValueError("a bare array does not tell its joints; name its layout with skeleton=...")
    bodies = to_numpy(clip)
    bodies = bodies[None] if bodies.ndim == 3 else bodies
    if bodies.ndim != 4 or bodies.shape[-1] < 2 or 0 in bodies.shape:
        raise ValueError(
            "a clip to draw is [M, T, V, C] or [T, V, C] with at least two coordinates, got shape "
            f"{bodies.shape}"
        )
    layout = Skeleton.get(skeleton)
    layout.check_joints(bodies.shape[2])
    return bodies, layout
