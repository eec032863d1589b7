from __future__ import annotations

import torch

from pyg_fsar.data import bone_vectors, motion_vectors, present_joints

PARENTS = (0, 0, 1, 1)


def test_missing_joints_are_zero_or_nan() -> None:
    bodies = torch.randn(2, 3, 4, 3)
    bodies[0, 0, 1] = 0
    bodies[1, 2, 3, 0] = torch.nan
    bodies[1, 1] = 0
    expected = torch.ones(2, 3, 4, dtype=torch.bool)
    expected[0, 0, 1] = expected[1, 2, 3] = False
    expected[1, 1] = False
    assert torch.equal(present_joints(bodies), expected)
    expected[0, 0, 1] = True  # its body is there
    assert torch.equal(present_joints(bodies, centered_on=1), expected)


def test_bones_lead_from_the_parent() -> None:
    joints = torch.randn(2, 3, 4, 3)
    there = torch.ones(2, 3, 4, dtype=torch.bool)
    there[0, 0, 1] = False
    bones = bone_vectors(joints, there, PARENTS)
    assert (bones[:, :, 0] == 0).all()
    assert (bones[0, 0] == 0).all()  # it is an end of every bone
    assert torch.equal(bones[1, :, 3], joints[1, :, 3] - joints[1, :, 1])


def test_motion_leads_to_the_next_frame() -> None:
    joints = torch.randn(2, 4, 4, 3)
    there = torch.ones(2, 4, 4, dtype=torch.bool)
    there[0, 1, 2] = False
    motion = motion_vectors(joints, there)
    assert (motion[:, -1] == 0).all()
    assert (motion[0, :2, 2] == 0).all()
    assert torch.equal(motion[1, :-1], joints[1, 1:] - joints[1, :-1])
    assert torch.equal(motion[0, 2, 2], joints[0, 3, 2] - joints[0, 2, 2])
    assert motion_vectors(joints[:, :1], there[:, :1]).shape == (2, 1, 4, 3)


def test_leading_axes_are_free() -> None:
    joints = torch.randn(5, 2, 3, 4, 3)
    there = torch.rand(5, 2, 3, 4) > 0.2
    for function, rest in ((bone_vectors, (PARENTS,)), (motion_vectors, ())):
        expected = torch.stack([function(x, t, *rest) for x, t in zip(joints, there, strict=True)])
        assert torch.equal(function(joints, there, *rest), expected)
