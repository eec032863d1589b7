"""Models that come with the package, by name, each with its preparation of clips."""

from __future__ import annotations

from collections.abc import Callable

from torch_geometric.transforms import BaseTransform

from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.matching import MotionMatcher
from pyg_fsar.nn import MotionFeatures
from pyg_fsar.transforms import motion_transform

__all__ = ["PRETRAINED", "load_pretrained"]

# The likelihood of labels is near its largest with it, from one example and from five.
SCALE = 20.0


def load_pretrained(name: str = "body15") -> tuple[FewShotModel, BaseTransform]:
    """A model that comes with the package, and the transform that prepares clips for it.

    ``"body15"`` takes clips of any layout that maps to ``body15``, in 3D or 2D, also with joints
    missing. It has no trained weights: it compares :class:`~pyg_fsar.nn.MotionFeatures` by
    :class:`~pyg_fsar.matching.MotionMatcher`. With several examples of a class the nearest counts.
    It tells movements apart, not poses that are held, objects or fine hand movements. The results
    in the documentation say what it reaches on which data; its model card is ``body15.md`` beside
    this file.

    Args:
        name: One of :data:`PRETRAINED`.

    Returns:
        The model in evaluation mode, and the transform.

    Raises:
        ValueError: If there is no model of that name.
    """
    if name not in PRETRAINED:
        raise ValueError(f"unknown model '{name}'; known are {', '.join(PRETRAINED)}")
    return PRETRAINED[name]()


def _body15() -> tuple[FewShotModel, BaseTransform]:
    matcher = MotionMatcher("body15", scale=SCALE)
    return FewShotModel(MotionFeatures("body15"), matcher).eval(), motion_transform()


#: Makers of the models by name; each returns the model and its transform.
PRETRAINED: dict[str, Callable[[], tuple[FewShotModel, BaseTransform]]] = {"body15": _body15}
