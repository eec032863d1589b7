"""Closing the gaps that a sensor leaves."""

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
    r"""Gives missing joints a place (functional name: :obj:`skeleton_fill_missing_joints`).

    A joint is missing where its channels are all zero or one is NaN. It comes to lie on the line
    between its places in the nearest frames before and after that have it; before the first and
    after the last such frame it rests. A joint that is missing throughout takes the place of its
    nearest ancestor in the skeleton that is not, so that its bone has no length, and is zero if
    there is none. Bodies missing throughout stay zero. Other channels of a filled joint are zero:
    nobody has vouched for its place.
    """

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        there = present(clip)
        if bool(there.all()):
            return clip
        filled = _interpolate(coordinates(clip), there)
        seen = there.any(dim=1)
        parents = Skeleton.get(clip.skeleton).parents
        for body, joint in (~seen & seen.any(dim=1, keepdim=True)).nonzero().tolist():
            ancestor = joint
            while not seen[body, ancestor] and parents[ancestor] != ancestor:
                ancestor = parents[ancestor]
            filled[body, :, joint] = filled[body, :, ancestor]
        others = clip.bodies[..., filled.size(-1) :].where(there.unsqueeze(-1), 0)
        return clip.with_bodies(torch.cat([filled, others], dim=-1))


def _interpolate(joints: Tensor, there: Tensor) -> Tensor:
    """Linear interpolation in time, ``[M, T, V, D]``; zero where a joint is never there."""
    num_frames = there.size(1)
    frame = torch.arange(num_frames, device=there.device).view(-1, 1)
    before = frame.where(there, -1).cummax(dim=1).values
    after = frame.where(there, num_frames).flip(1).cummin(dim=1).values.flip(1)
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
