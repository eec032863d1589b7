from __future__ import annotations

import torch

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import JointsToBones, JointsToMotion


def test_motion_leads_to_the_next_frame() -> None:
    clip = SkeletonSequence.from_bodies(torch.randn(2, 5, 25, 3))
    motion = JointsToMotion()(clip).bodies
    for t in range(4):
        assert torch.equal(motion[:, t], clip.bodies[:, t + 1] - clip.bodies[:, t])
    assert (motion[:, 4] == 0).all()


def test_motion_of_bones_is_bones_of_motion() -> None:
    clip = SkeletonSequence.from_bodies(torch.randn(2, 5, 25, 3))
    bones, motion = JointsToBones(), JointsToMotion()
    inner = slice(0, 4)  # in the last frame the order matters for no joint but all are zero
    torch.testing.assert_close(
        motion(bones(clip)).bodies[:, inner], bones(motion(clip)).bodies[:, inner]
    )


def test_no_motion_to_or_from_a_missing_joint() -> None:
    clip = SkeletonSequence.from_bodies(torch.rand(1, 5, 17, 3) + 1, skeleton="coco17")
    clip.x[2, 9] = 0
    motion = JointsToMotion()(clip).bodies[0]
    assert (motion[[1, 2], 9, :2] == 0).all()
    assert (motion[[0, 3], 9, :2] != 0).all()
    assert torch.equal(motion[..., 2], clip.x[..., 2])  # scores
