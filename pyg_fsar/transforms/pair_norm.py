"""Pair normalisation of the input."""

from __future__ import annotations

from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar import nn
from pyg_fsar.transforms.utils import map_features

__all__ = ["PairNorm"]


@functional_transform("skeleton_pair_norm")
class PairNorm(BaseTransform):
    r"""Applies :class:`pyg_fsar.nn.PairNorm` to a graph's ``x [V, C]``, or to the coordinates of
    every frame of a clip (functional name: :obj:`skeleton_pair_norm`).

    Missing joints of a clip stay zero, but count in the mean that is subtracted: fill them first.

    Args:
        scale: Scale of the joints after normalisation.
        mode: ``"PN"``, ``"PN-SI"`` or ``"PN-SCS"``.

    Raises:
        ValueError: If the mode is unknown or the scale not finite, or for what
            :func:`~pyg_fsar.transforms.utils.map_features` refuses.

    Example:
        >>> PairNorm()(clips[0]).bodies.shape
        torch.Size([1, 30, 25, 3])
    """

    def __init__(self, scale: float = 1.0, mode: str = "PN") -> None:
        self.scale, self.mode = scale, mode
        self.norm = nn.PairNorm(scale=scale, mode=mode)

    def forward(self, data: Data) -> Data:
        return map_features(data, self.norm)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.scale}, mode={self.mode!r})"
