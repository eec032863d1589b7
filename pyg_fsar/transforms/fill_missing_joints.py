"""Interpolate missing joints."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.transforms.utils import coordinates, present

__all__ = ["FillMissingJoints"]


@functional_transform("skeleton_fill_missing_joints")
class FillMissingJoints(BaseTransform):
    r"""Interpolates missing joints (functional name: :obj:`skeleton_fill_missing_joints`).

    A joint is missing where its channels are all zero or one is NaN. Its position is interpolated
    linearly between the nearest frames before and after that have it, and constant before the first
    and after the last such frame. A joint that is missing in all frames gets the position of its
    nearest ancestor in the skeleton that is not, and zero if there is none. Bodies that are missing
    in all frames stay zero. Other channels of a filled joint, such as its score, are zero.

    Args:
        ancestors: Give a joint that is missing in all frames the position of an ancestor; otherwise
            it is zero, as a joint that the clip does not have.

    Example:
        >>> FillMissingJoints()(clips[0]).bodies.shape
        torch.Size([1, 30, 25, 3])
    """

    def __init__(self, ancestors: bool = True) -> None:
        self.ancestors = ancestors

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        mask = present(clip)
        if bool(mask.all()):
            return clip
        filled = _interpolate(coordinates(clip), mask)
        seen = mask.any(dim=1)
        parents = Skeleton.get(clip.skeleton).parents
        lost = ~seen & seen.any(dim=1, keepdim=True) & self.ancestors
        for body, joint in lost.nonzero().tolist():
            ancestor = joint
            while not seen[body, ancestor] and parents[ancestor] != ancestor:
                ancestor = parents[ancestor]
            filled[body, :, joint] = filled[body, :, ancestor]
        others = clip.bodies[..., filled.size(-1) :].where(mask.unsqueeze(-1), 0)
        return clip.with_bodies(torch.cat([filled, others], dim=-1))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({'' if self.ancestors else 'ancestors=False'})"


def _interpolate(joints: Tensor, mask: Tensor) -> Tensor:
    """Linear interpolation in time, ``[M, T, V, D]``; zero where a joint is never present."""
    num_frames = mask.size(1)
    frame = torch.arange(num_frames, device=mask.device).view(-1, 1)
    before = frame.where(mask, -1).cummax(dim=1).values
    after = frame.where(mask, num_frames).flip(1).cummin(dim=1).values.flip(1)
    never = after[:, :1] == num_frames
    before, after = (
        before.where(before >= 0, after).clamp(max=num_frames - 1),
        after.where(after < num_frames, before).clamp(min=0),
    )
    weight = (frame - before) / (after - before).clamp(min=1)
    start = joints.take_along_dim(before.unsqueeze(-1), dim=1)
    end = joints.take_along_dim(after.unsqueeze(-1), dim=1)
    filled = start.lerp(end, weight.to(joints).unsqueeze(-1))
    return filled.masked_fill(never.unsqueeze(-1), 0)
