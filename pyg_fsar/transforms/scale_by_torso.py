"""Normalise body size."""

from __future__ import annotations

import torch
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms.utils import coordinates, move_joints, torso

__all__ = ["ScaleByTorso"]


@functional_transform("skeleton_scale_by_torso")
class ScaleByTorso(BaseTransform):
    r"""Divides coordinates by the torso length, which normalises body size (functional name:
    :obj:`skeleton_scale_by_torso`).

    The torso length is the distance between the midpoints of the shoulders and of the hips, the
    median over all frames and bodies that have these joints. The whole clip is scaled by one factor
    about the origin; a clip without such a frame is returned unchanged.

    Raises:
        ValueError: If the skeleton has no joints named as shoulders and hips.

    Example:
        >>> ScaleByTorso()(clips[0]).bodies.shape
        torch.Size([1, 30, 25, 3])
    """

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        _, spine, mask = torso(clip)
        length = spine.norm(dim=-1).masked_fill(~mask, torch.nan).nanmedian()
        return move_joints(clip, coordinates(clip) / length.where(length > 0, 1.0))
