from __future__ import annotations

import pytest
import torch

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import CenterOnJoint


@pytest.fixture
def clip() -> SkeletonSequence:
    return SkeletonSequence.from_bodies(torch.randn(2, 6, 25, 3) + 3)


@pytest.mark.parametrize("mode", ["first", "frame"])
def test_drops_where_the_person_stands(clip: SkeletonSequence, mode: str) -> None:
    elsewhere = clip.with_bodies(clip.bodies + torch.tensor([1.0, -2.0, 0.5]))
    center = CenterOnJoint(mode=mode)
    torch.testing.assert_close(center(elsewhere).x, center(clip).x)


def test_first_keeps_all_movement(clip: SkeletonSequence) -> None:
    result = CenterOnJoint("head")(clip).bodies
    assert (result[0, 0, 3] == 0).all()
    torch.testing.assert_close(result.diff(dim=1), clip.bodies.diff(dim=1))
    torch.testing.assert_close(result[1] - result[0], clip.bodies[1] - clip.bodies[0])


def test_frame_keeps_poses_and_the_distance_of_bodies(clip: SkeletonSequence) -> None:
    result = CenterOnJoint(mode="frame")(clip).bodies
    assert (result[0, :, 20] == 0).all()  # ntu25's centre
    torch.testing.assert_close(result.diff(dim=2), clip.bodies.diff(dim=2))
    torch.testing.assert_close(result[1] - result[0], clip.bodies[1] - clip.bodies[0])


def test_missing_joint(clip: SkeletonSequence) -> None:
    bodies = clip.bodies.clone()
    bodies[0, [0, 3, 4], 20] = 0
    gappy = clip.with_bodies(bodies)
    first = CenterOnJoint()(gappy).bodies
    torch.testing.assert_close(first[1], bodies[1] - bodies[0, 1, 20])
    frame = CenterOnJoint(mode="frame")(gappy).bodies
    torch.testing.assert_close(frame[1], bodies[1] - bodies[0, [1, 1, 2, 2, 2, 5], 20][:, None])


def test_the_main_body_is_the_first_that_has_the_joint(clip: SkeletonSequence) -> None:
    bodies = clip.bodies.clone()
    bodies[0, :, 20] = 0
    result = CenterOnJoint()(clip.with_bodies(bodies)).bodies
    torch.testing.assert_close(result[1], bodies[1] - bodies[1, 0, 20])
    bodies[1, :, 20] = 0
    assert torch.equal(CenterOnJoint()(clip.with_bodies(bodies)).bodies, bodies)


def test_errors(clip: SkeletonSequence) -> None:
    with pytest.raises(ValueError, match="unknown mode 'last'; known are first, frame"):
        CenterOnJoint(mode="last")
    with pytest.raises(ValueError, match="'ntu25' has no joint 'tail'"):
        CenterOnJoint("tail")(clip)
