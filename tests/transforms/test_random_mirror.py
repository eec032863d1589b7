from __future__ import annotations

import pytest
import torch

from pyg_fsar import Skeleton
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import CenterOnJoint, JointsToBones, RandomMirror


@pytest.fixture
def clip() -> SkeletonSequence:
    return SkeletonSequence.from_bodies(torch.randn(2, 4, 25, 3))


def test_left_takes_the_place_of_right(clip: SkeletonSequence) -> None:
    result = RandomMirror(1.0)(clip).bodies
    ntu = Skeleton.get("ntu25")
    flip = torch.tensor([-1.0, 1.0, 1.0])
    for this, other in [("left_hand", "right_hand"), ("right_knee", "left_knee"), ("head", "head")]:
        expected = clip.bodies[:, :, ntu.joint(other)] * flip
        assert torch.equal(result[:, :, ntu.joint(this)], expected)


def test_twice_is_the_clip_itself(clip: SkeletonSequence) -> None:
    mirror = RandomMirror(1.0)
    assert torch.equal(mirror(mirror(clip)).x, clip.x)


def test_scores_go_with_their_joints() -> None:
    clip = SkeletonSequence.from_bodies(torch.rand(1, 2, 17, 3), skeleton="coco17")
    result = RandomMirror(1.0)(clip).bodies
    assert torch.equal(result[..., 2], clip.bodies[:, :, list(Skeleton.get("coco17").mirror), 2])


def test_bones_of_a_mirrored_clip_are_mirrored_bones(clip: SkeletonSequence) -> None:
    mirror, bones = RandomMirror(1.0), JointsToBones()
    for centered in (clip, CenterOnJoint("left_shoulder", mode="frame")(clip)):
        torch.testing.assert_close(bones(mirror(centered)).x, mirror(bones(centered)).x)


def test_probability(clip: SkeletonSequence) -> None:
    mirrored = [not torch.equal(RandomMirror(0.3)(clip).x, clip.x) for _ in range(300)]
    assert 60 < sum(mirrored) < 120
    assert torch.equal(RandomMirror(0.0)(clip).x, clip.x)
    with pytest.raises(ValueError, match=r"p must be in 0\.\.1"):
        RandomMirror(1.5)
