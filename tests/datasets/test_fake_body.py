from __future__ import annotations

import numpy as np
import pytest

from pyg_fsar import Skeleton
from pyg_fsar.datasets.fake_body import Body

HUMAN = [name for name in Skeleton.available() if name != "hand21"]  # a hand cannot walk
FREEDOMS = [f"{side}_{limb}" for side in ("left", "right") for limb in ("arm_forward", "elbow")]
FREEDOMS += [f"{side}_leg_sideways" for side in ("left", "right")] + ["bow", "turn", "jump"]


def moving(body, *freedoms, T=9):
    course = np.sin(np.linspace(0, np.pi, T))
    return body.move(body.resize(np.random.default_rng(0)), dict.fromkeys(freedoms, course), T)


def lengths(layout, joints):
    child, parent = np.array(layout.bones).T
    return np.linalg.norm(joints[:, child] - joints[:, parent], axis=-1)


@pytest.mark.parametrize("name", HUMAN)
def test_bones_keep_their_length(name):
    layout = Skeleton.get(name)
    joints = moving(Body(layout), *FREEDOMS)
    assert joints.shape == (9, layout.num_joints, 3)
    of_time = lengths(layout, joints)
    np.testing.assert_allclose(of_time, of_time[:1].repeat(9, axis=0), atol=1e-9)
    assert of_time.min() > 0.005  # no joint lies upon another
    assert of_time.max() < 1.0


@pytest.mark.parametrize("name", HUMAN)
def test_the_rest_pose_is_upright_and_symmetric(name):
    layout = Skeleton.get(name)
    body = Body(layout)
    np.testing.assert_allclose(body.rest[list(layout.mirror)], body.rest * (-1, 1, 1))
    height = {joint: body.rest[layout.joint(f"left_{joint}"), 1] for joint in ("hip", "shoulder")}
    assert 0 < body.rest[layout.joint("left_ankle"), 1] < height["hip"] < height["shoulder"] < 2
    assert len(np.unique(body.rest, axis=0)) == layout.num_joints


def test_movements_go_where_they_say():
    layout = Skeleton.get("ntu25")
    body = Body(layout)
    rest = moving(body)[4]

    def move(freedom, joint):
        return moving(body, freedom)[4, layout.joint(joint)] - rest[layout.joint(joint)]

    x, y, z = range(3)
    assert move("left_arm_forward", "left_wrist")[z] > 0.3
    assert move("left_arm_sideways", "left_wrist")[x] > 0.3
    assert move("right_arm_sideways", "right_wrist")[x] < -0.3
    assert move("right_elbow", "right_wrist")[z] > 0.1
    assert move("left_knee", "left_ankle")[z] < -0.1
    assert move("left_leg_forward", "left_knee")[z] > 0.1
    assert move("bow", "head")[z] > 0.3
    assert move("bow", "head")[y] < -0.1
    assert move("jump", "head")[y] == pytest.approx(1)
    np.testing.assert_allclose(move("left_arm_forward", "right_wrist"), 0, atol=1e-12)


def test_it_stands_on_the_ground():
    joints = moving(Body(Skeleton.get("ntu25")), "left_leg_forward", "right_leg_forward", "bow")
    np.testing.assert_allclose(joints[..., 1].min(axis=1), 0, atol=1e-12)


def test_a_joint_of_unknown_name_is_placed_near_its_parent():
    layout = Skeleton.get("coco17")
    more = Skeleton(
        "coco18", (*layout.joints, "antenna"), (*layout.bones, (17, 0)), pairs=layout.pairs
    )
    body = Body(more)
    assert np.linalg.norm(body.rest[17] - body.rest[0]) == pytest.approx(0.1)


def test_a_skeleton_without_the_joints_is_refused():
    with pytest.raises(ValueError, match=r"skeleton 'stick' has no left_ankle, .*coco17.*h36m17"):
        Body(Skeleton("stick", ("hip", "knee", "foot"), ((1, 0), (2, 1))))
