from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_fsar import Skeleton
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import CenterOnJoint
from pyg_fsar.transforms.utils import (
    coordinates,
    map_features,
    move_joints,
    present,
    torso,
    with_coordinates,
)


def make_clip(skeleton: str = "ntu25", channels: int = 3) -> SkeletonSequence:
    joints = Skeleton.get(skeleton).num_joints
    return SkeletonSequence.from_bodies(torch.randn(2, 4, joints, channels), skeleton=skeleton)


def test_coordinates_are_those_of_the_layout() -> None:
    assert coordinates(make_clip("ntu25", 3)).size(-1) == 3
    assert coordinates(make_clip("ntu25", 4)).size(-1) == 3
    assert coordinates(make_clip("coco17", 3)).size(-1) == 2
    assert coordinates(make_clip("coco17", 2)).size(-1) == 2


def test_missing_is_all_zero_or_nan() -> None:
    bodies = torch.zeros(1, 1, 20, 3)
    bodies[0, 0, 1, 2] = 1e-20
    bodies[0, 0, 2] = torch.tensor([1.0, torch.nan, 1.0])
    bodies[0, 0, 3, 0] = -1
    clip = SkeletonSequence.from_bodies(bodies, skeleton="kinect20", allow_nan=True)
    assert present(clip)[0, 0].nonzero().flatten().tolist() == [1, 3]


def test_joint_at_the_origin_by_centring_is_not_missing() -> None:
    clip = make_clip()
    clip.x[2] = 0  # no body in this frame
    for mode in ("first", "frame"):
        centered = CenterOnJoint(mode=mode)(clip)
        assert torch.equal(present(centered), present(clip))
    # with scores there is nothing to guess
    clip = make_clip("coco17", 3)
    clip.x[1, 0] = 0
    assert torch.equal(present(CenterOnJoint()(clip)), present(clip))


def test_new_coordinates_for_all_or_for_present_joints() -> None:
    clip = make_clip("openpose18", 3)
    clip.x[1, 5] = 0
    new = torch.randn(2, 4, 18, 2)
    everywhere, moved = with_coordinates(clip, new), move_joints(clip, new)
    assert torch.equal(everywhere.bodies[..., :2], new)
    assert torch.equal(everywhere.bodies[..., 2], clip.bodies[..., 2])
    assert (moved.x[1, 5] == 0).all()
    moved.x[1, 5, :2] = everywhere.x[1, 5, :2]
    assert torch.equal(moved.x, everywhere.x)


def test_torso_lines() -> None:
    bodies = torch.zeros(1, 2, 25, 3)
    bodies[0, 0, 4] = torch.tensor([-2.0, 5.0, 3.0])  # left shoulder
    bodies[0, 0, 8] = torch.tensor([2.0, 5.0, 3.0])
    bodies[0, 0, 12] = torch.tensor([-1.0, 1.0, 3.0])  # left hip
    bodies[0, 0, 16] = torch.tensor([1.0, 1.0, 3.0])
    shoulders, spine, there = torso(SkeletonSequence.from_bodies(bodies))
    assert shoulders[0, 0].tolist() == [4, 0, 0]
    assert spine[0, 0].tolist() == [0, 4, 0]
    assert there.tolist() == [[True, False]]


def test_torso_needs_named_joints() -> None:
    Skeleton.register(Skeleton("stick_of_utils", ("hip", "knee"), bones=((1, 0),)))
    clip = SkeletonSequence.from_bodies(torch.randn(1, 2, 2, 3), skeleton="stick_of_utils")
    with pytest.raises(ValueError, match="'stick_of_utils' has no joint 'left_shoulder'"):
        torso(clip)


def test_features_of_batches_are_refused() -> None:
    graphs = Batch.from_data_list([Data(x=torch.randn(3, 2)), Data(x=torch.randn(3, 2))])
    with pytest.raises(ValueError, match="before batching"):
        map_features(graphs, torch.neg)
