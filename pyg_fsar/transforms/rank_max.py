"""Flatten the singular values of each frame."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.transforms.utils import map_features

__all__ = ["RankMax"]


@functional_transform("skeleton_rank_max")
class RankMax(BaseTransform):
    r"""Flattens the singular-value spectrum of a frame's joint features by a given power
    (functional name: :obj:`skeleton_rank_max`).

    The penalty :class:`pyg_fsar.nn.RankMax` encourages a flatter spectrum in an embedding; this
    applies it to an input directly. With
    :math:`\mathbf{X} = \mathbf{U} \operatorname{diag}(\sigma) \mathbf{V}^\top` the
    joints-by-channels matrix of a graph or of each frame of a clip, the result is

    .. math::
        c \, \mathbf{U} \operatorname{diag}(\sigma^p) \mathbf{V}^\top, \qquad
        c = \lVert \sigma \rVert / \lVert \sigma^p \rVert,

    with the same Frobenius norm and numerical rank. Scores of a clip are kept.

    Args:
        power: The power :math:`p`: 1 changes nothing, 0 makes all singular values equal.

    Raises:
        ValueError: If the power is not in 0..1, or for what
            :func:`~pyg_fsar.transforms.utils.map_features` refuses.

    Example:
        >>> RankMax()(clips[0]).bodies.shape
        torch.Size([1, 30, 25, 3])
    """

    def __init__(self, power: float = 0.5) -> None:
        if not 0 <= power <= 1:
            raise ValueError(f"power must be in 0..1, got {power}")
        self.power = power

    def forward(self, data: Data) -> Data:
        return map_features(data, self._flatten)

    def _flatten(self, x: Tensor) -> Tensor:
        u, sigma, v = torch.linalg.svd(x, full_matrices=False)
        # Singular values that are zero up to rounding must stay zero.
        negligible = sigma[..., :1] * max(x.shape[-2:]) * torch.finfo(x.dtype).eps
        flat = (sigma**self.power).where(sigma > negligible, 0)
        norm = flat.norm(dim=-1, keepdim=True)
        flat = flat * sigma.norm(dim=-1, keepdim=True) / norm.where(norm > 0, 1)
        return (u * flat.unsqueeze(-2)) @ v

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.power})"
