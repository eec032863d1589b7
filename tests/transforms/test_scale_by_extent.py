from __future__ import annotations

import torch

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import ScaleByExtent


def test_extent_is_one_whatever_the_size_and_place() -> None:
    bodies = torch.randn(2, 7, 18, 3)
    clip = SkeletonSequence.from_bodies(bodies, skeleton="openpose18")
    xy = ScaleByExtent()(clip).bodies[..., :2]
    extents = (xy - xy.mean(dim=-2, keepdim=True)).square().sum(dim=-1).mean(dim=-1).sqrt()
    torch.testing.assert_close(extents.flatten().median(), torch.tensor(1.0))
    torch.testing.assert_close(ScaleByExtent()(clip).bodies[..., 2], bodies[..., 2])
    for factor in (1e-3, 500.0):
        scaled = clip.with_bodies(bodies * torch.tensor([factor, factor, 1]))
        torch.testing.assert_close(ScaleByExtent()(scaled).bodies[..., :2], xy)


def test_missing_joints_do_not_count() -> None:
    bodies = torch.randn(1, 5, 18, 3)
    bodies[:, :, 8:] = 0  # a picture of the upper body
    clip = SkeletonSequence.from_bodies(bodies, skeleton="openpose18")
    xy = ScaleByExtent()(clip).bodies[:, :, :8, :2]
    extents = (xy - xy.mean(dim=-2, keepdim=True)).square().sum(dim=-1).mean(dim=-1).sqrt()
    torch.testing.assert_close(extents.flatten().median(), torch.tensor(1.0))
    assert not ScaleByExtent()(clip).bodies[:, :, 8:].any()


def test_without_extent_nothing_changes() -> None:
    bodies = torch.zeros(2, 3, 18, 3)
    assert not ScaleByExtent()(SkeletonSequence.from_bodies(bodies, skeleton="openpose18")).x.any()
    bodies[0, :, 4] = torch.tensor([0.3, 0.2, 0.9])  # one joint, in the first body
    clip = SkeletonSequence.from_bodies(bodies, skeleton="openpose18")
    assert torch.equal(ScaleByExtent()(clip).x, clip.x)
