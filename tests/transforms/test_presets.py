from __future__ import annotations

import pytest
import torch

from pyg_fsar.datasets import FakeSkeletonDataset
from pyg_fsar.transforms import augmented, clip_transform


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


def test_augmented_changes_time_alone_and_ends_with_the_preparation():
    clip = FakeSkeletonDataset(num_classes=4, clips_per_class=1, lost_joints=0)[0]
    prepare = clip_transform(12, train=False)
    torch.manual_seed(0)
    first, second = (augmented(prepare)(clip).bodies for _ in range(2))
    assert first.shape == prepare(clip).bodies.shape
    assert not torch.equal(first, second)
    still = clip.with_bodies(clip.bodies[:, :1].expand(-1, 40, -1, -1))
    torch.testing.assert_close(augmented(prepare)(still).bodies, prepare(still).bodies)
