from __future__ import annotations

import pytest
import torch

from pyg_fsar import Skeleton
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import CenterOnJoint, JointsToBones


@pytest.mark.parametrize("skeleton", Skeleton.available())
def test_bones_lead_from_parent_to_joint(skeleton: str) -> None:
    layout = Skeleton.get(skeleton)
    shape = (2, 3, layout.num_joints, layout.dims)
    clip = SkeletonSequence.from_bodies(torch.randn(shape), skeleton=skeleton)
    bones = JointsToBones()(clip).bodies
    for child, parent in layout.bones:
        expected = clip.bodies[:, :, child] - clip.bodies[:, :, parent]
        assert torch.equal(bones[:, :, child], expected)
    root = set(range(layout.num_joints)) - {child for child, _ in layout.bones}
    assert (bones[:, :, list(root)] == 0).all()


@pytest.mark.parametrize("mode", ["first", "frame"])
@pytest.mark.parametrize("joint", [None, "left_elbow"])
def test_centring_before_changes_nothing(mode: str, joint: str | None) -> None:
    clip = SkeletonSequence.from_bodies(torch.randn(2, 5, 25, 3))
    clip.x[7] = 0  # no second body in this frame
    centered = CenterOnJoint(joint, mode)(clip)
    torch.testing.assert_close(JointsToBones()(centered).x, JointsToBones()(clip).x)


def test_a_bone_with_a_missing_end_is_zero() -> None:
    clip = SkeletonSequence.from_bodies(torch.rand(1, 3, 18, 3) + 1, skeleton="openpose18")
    layout = Skeleton.get("openpose18")
    elbow, wrist = layout.joint("left_elbow"), layout.joint("left_wrist")
    clip.x[1, elbow] = 0
    clip.x[2, elbow] = torch.nan
    bones = JointsToBones()(clip).bodies[0]
    assert (bones[1:, [elbow, wrist], :2] == 0).all()
    assert (bones[0, [elbow, wrist], :2] != 0).all()
    assert torch.equal(bones[..., 2].nan_to_num(), clip.x[..., 2].nan_to_num())  # scores
