"""Models that come with the package, by name, each with its preparation of clips."""

from __future__ import annotations

from collections.abc import Callable

from torch.nn import Identity
from torch_geometric.transforms import BaseTransform, Compose

from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.matching import build_matcher
from pyg_fsar.transforms import (
    AlignView,
    CenterOnJoint,
    MapJoints,
    RemoveMeanPose,
    ResampleFrames,
    ScaleByTorso,
)

__all__ = ["PRETRAINED", "load_pretrained"]

NUM_FRAMES = 30


def load_pretrained(name: str = "body15") -> tuple[FewShotModel, BaseTransform]:
    """A model that comes with the package, and the transform that prepares clips for it.

    ``"body15"`` takes clips of any layout that maps to ``body15``, in 3D or 2D. It has no trained
    weights: it aligns the joints themselves by dynamic time warping of the cosine cost, after
    clips are centred, turned, scaled and freed of their mean pose, which is the strongest untrained
    baseline in the documentation's results. With several examples of a class the nearest counts.

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
    transform = Compose([
        MapJoints("body15"), ResampleFrames(NUM_FRAMES, "uniform"), CenterOnJoint(), AlignView(),
        ScaleByTorso(), RemoveMeanPose(),
    ])  # fmt: skip
    model = FewShotModel(Identity(), build_matcher("dtw", shots="nearest"))
    return model.eval(), transform


#: Makers of the models by name; each returns the model and its transform.
PRETRAINED: dict[str, Callable[[], tuple[FewShotModel, BaseTransform]]] = {"body15": _body15}
