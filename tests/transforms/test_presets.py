from __future__ import annotations

import pytest
import torch

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.datasets import FakeSkeletonDataset
from pyg_fsar.saving import decode, encode
from pyg_fsar.transforms import (
    MapJoints,
    PreNormalize2D,
    PreNormalize3D,
    UniformSampleFrames,
    augmented,
    clip_transform,
    pyskl_transform,
)


@pytest.mark.parametrize("motion_only", [False, True])
def test_clip_transform(motion_only):
    clip = FakeSkeletonDataset(num_classes=4, clips_per_class=1, lost_joints=0)[0]
    prepare = clip_transform(12, train=False, motion_only=motion_only)
    prepared = prepare(clip)
    assert prepared.bodies.shape == (1, 12, 25, 3)
    # Place and size of the body do not matter, nor do its distance and the direction it faces.
    angle = torch.tensor(0.7)
    turn = torch.tensor([[angle.cos(), 0, angle.sin()], [0, 1, 0], [-angle.sin(), 0, angle.cos()]])
    elsewhere = clip.with_bodies(1.3 * clip.bodies @ turn.T + torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(prepare(elsewhere).bodies, prepared.bodies, rtol=1e-3, atol=1e-3)

    augment = clip_transform(12, train=True, motion_only=motion_only)
    assert augment(clip).bodies.shape == prepared.bodies.shape
    assert not torch.equal(augment(clip).bodies, augment(clip).bodies)
    assert torch.equal(prepare(clip).bodies, prepared.bodies)


def test_pyskl_transform():
    clip = FakeSkeletonDataset(num_classes=4, clips_per_class=1, lost_joints=0)[0]
    prepared = pyskl_transform(num_frames=12, num_clips=3)(clip)
    assert prepared.bodies.shape == (3, 12, 25, 3)
    assert torch.equal(prepared.x, UniformSampleFrames(12, 3)(PreNormalize3D()(clip)).x)
    augment = pyskl_transform(num_frames=12, train=True)
    assert not torch.equal(augment(clip).x, augment(clip).x)

    hand = SkeletonSequence.from_bodies(torch.rand(1, 9, 21, 3) - 0.5, skeleton="hand21")
    flat = pyskl_transform(12, aspect=4 / 3, score=False)
    expected = UniformSampleFrames(12)(PreNormalize2D(4 / 3, score=False)(hand))
    assert torch.equal(flat(hand).x, expected.x)
    for transform, given in ((flat, hand), (pyskl_transform(), clip)):
        again = decode(encode(transform), "a transform")
        assert repr(again) == repr(transform)
        assert torch.equal(again(given).x, transform(given).x)
    with pytest.raises(ValueError, match="give their aspect"):
        pyskl_transform(score=False)


def test_clip_transform_of_pictures():
    clip = FakeSkeletonDataset(num_classes=4, clips_per_class=1, lost_joints=0)[0]
    clip = MapJoints("openpose18")(clip)
    score = torch.rand(*clip.bodies.shape[:3], 1)
    bodies = torch.cat([clip.bodies[..., :2], score], dim=-1)
    clip = SkeletonSequence.from_bodies(bodies, skeleton="openpose18")
    prepare = clip_transform(12, train=False, dims=2)
    prepared = prepare(clip)
    assert prepared.bodies.shape == (1, 12, 18, 3)
    # Place in the picture and its unit do not matter, and scores stay.
    moved = clip.with_bodies(clip.bodies * torch.tensor([640, 640, 1]) + torch.tensor([9, -8, 0]))
    torch.testing.assert_close(prepare(moved).bodies, prepared.bodies, rtol=1e-3, atol=1e-3)
    assert set(prepared.bodies[..., 2].flatten().tolist()) <= set(score.flatten().tolist())

    augment = clip_transform(12, train=True, motion_only=True, dims=2)
    assert augment(clip).bodies.shape == prepared.bodies.shape
    assert not torch.equal(augment(clip).bodies, augment(clip).bodies)


def test_number_of_coordinates():
    with pytest.raises(ValueError, match="dims must be 2 or 3, got 4"):
        clip_transform(12, train=True, dims=4)


def test_augmented_changes_time_alone_and_ends_with_the_preparation():
    clip = FakeSkeletonDataset(num_classes=4, clips_per_class=1, lost_joints=0)[0]
    prepare = clip_transform(12, train=False)
    torch.manual_seed(0)
    first, second = (augmented(prepare)(clip).bodies for _ in range(2))
    assert first.shape == prepare(clip).bodies.shape
    assert not torch.equal(first, second)
    still = clip.with_bodies(clip.bodies[:, :1].expand(-1, 40, -1, -1))
    torch.testing.assert_close(augmented(prepare)(still).bodies, prepare(still).bodies)
