"""Models that come with the package, by name, each with its preparation of clips."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from torch_geometric.transforms import BaseTransform

from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.matching import MotionMatcher
from pyg_fsar.nn import MotionFeatures
from pyg_fsar.transforms import motion_transform
from pyg_fsar.weights.model_folder import load_model

__all__ = ["PRETRAINED", "load_pretrained"]

# The likelihood of labels is near its largest with it, from one example and from five.
SCALE = 20.0


def load_pretrained(name: str | Path = "body15") -> tuple[FewShotModel, BaseTransform]:
    """A model that comes with the package, or that of a folder, and the transform that prepares
    clips for it.

    Both models of the package take clips of any layout that maps to ``body15``, in 3D or 2D, also
    with joints missing. With several examples of a class the nearest counts. They tell movements
    apart, not poses that are held, objects or fine hand movements.

    ``"body15"``
        :class:`~pyg_fsar.nn.MotionEncoder` and :class:`~pyg_fsar.matching.MotionMatcher`, trained
        on all of UTD-MHAD, Kinder-Gator and a part of HDM05, and on generated motions.
    ``"body15-untrained"``
        :class:`~pyg_fsar.nn.MotionFeatures` and the same matcher, without weights. For tests on the
        data sets that the other was trained on.

    The results in the documentation say what they reach on which data; the model card is
    ``body15.md`` beside this file.

    Args:
        name: One of :data:`PRETRAINED`, or a folder, see :func:`load_model`.

    Returns:
        The model in evaluation mode, and the transform.

    Raises:
        FileNotFoundError: If the folder holds no model.
        ValueError: If there is no model or folder of that name, or a file in the folder is damaged.
    """
    if str(name) in PRETRAINED:
        return PRETRAINED[str(name)]()
    if not Path(name).is_dir():
        raise ValueError(
            f"there is no model '{name}'; give {', '.join(PRETRAINED)}, or a folder that "
            "`pyg-fsar train` made"
        )
    return load_model(name)


def _untrained() -> tuple[FewShotModel, BaseTransform]:
    matcher = MotionMatcher("body15", scale=SCALE)
    return FewShotModel(MotionFeatures("body15"), matcher).eval(), motion_transform()


#: Makers of the models by name; each returns the model and its transform.
PRETRAINED: dict[str, Callable[[], tuple[FewShotModel, BaseTransform]]] = {
    "body15": partial(load_model, Path(__file__).parent / "body15"),
    "body15-untrained": _untrained,
}
