"""Normalise the size of a pose."""

from __future__ import annotations

import torch
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms.utils import coordinates, move_joints, present

__all__ = ["ScaleByExtent"]


@functional_transform("skeleton_scale_by_extent")
class ScaleByExtent(BaseTransform):
    r"""Divides coordinates by the extent of the pose (functional name:
    :obj:`skeleton_scale_by_extent`).

    The extent is the root mean square distance of the joints that are present from their mean, the
    median over all frames and bodies with at least two of them. Unlike
    :class:`~pyg_fsar.transforms.ScaleByTorso` it needs no certain joints, so it suits pictures,
    which often show a part of the body only. The whole clip is scaled by one factor about the
    origin; a clip without extent is returned unchanged.

    Example:
        >>> ScaleByExtent()(clips[0]).bodies.shape
        torch.Size([1, 30, 25, 3])
    """

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        mask, joints = present(clip), coordinates(clip)
        count = mask.sum(dim=-1).unsqueeze(-1)
        joints = joints.where(mask.unsqueeze(-1), 0)
        offsets = joints - joints.sum(dim=-2, keepdim=True) / count.clamp(min=1).unsqueeze(-1)
        squares = offsets.square().sum(dim=-1).where(mask, 0).sum(dim=-1) / count[..., 0]
        extent = squares.sqrt().masked_fill(count[..., 0] < 2, torch.nan).nanmedian()
        return move_joints(clip, coordinates(clip) / extent.where(extent > 0, 1.0))
