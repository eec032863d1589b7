from __future__ import annotations

import torch

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import RemoveMeanPose


def make_clip() -> SkeletonSequence:
    return SkeletonSequence.from_bodies(torch.randn(2, 9, 25, 3))


def test_build_and_posture_drop_out() -> None:
    clip = make_clip()
    offset = torch.randn(2, 1, 25, 3)
    other = RemoveMeanPose()(clip.with_bodies(clip.bodies + offset))
    torch.testing.assert_close(other.bodies, RemoveMeanPose()(clip).bodies)
    torch.testing.assert_close(other.bodies.mean(dim=1), torch.zeros(2, 25, 3), atol=1e-6, rtol=0)


def test_movement_stays() -> None:
    clip = make_clip()
    torch.testing.assert_close(RemoveMeanPose()(clip).bodies.diff(dim=1), clip.bodies.diff(dim=1))


def test_missing_joints_neither_count_nor_move() -> None:
    clip = make_clip()
    bodies = clip.bodies.clone()
    bodies[0, 2:5, 7] = 0
    result = RemoveMeanPose()(clip.with_bodies(bodies)).bodies
    assert (result[0, 2:5, 7] == 0).all()
    kept = torch.tensor([0, 1, 5, 6, 7, 8])
    torch.testing.assert_close(result[0, kept, 7].mean(dim=0), torch.zeros(3), atol=1e-6, rtol=0)


def test_scores_stay() -> None:
    clip = SkeletonSequence.from_bodies(torch.rand(1, 6, 18, 3), skeleton="openpose18")
    assert torch.equal(RemoveMeanPose()(clip).bodies[..., 2], clip.bodies[..., 2])
