from __future__ import annotations

import math

import pytest
import torch

from pyg_fsar import Skeleton
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import JointsToBones, RandomBoneLengths

LAYOUT = Skeleton.get("body15")


def test_bones_keep_their_directions_and_sides_agree() -> None:
    torch.manual_seed(0)
    clip = SkeletonSequence.from_bodies(torch.randn(2, 6, 15, 3), skeleton=LAYOUT)
    before, after = (JointsToBones()(c).bodies for c in (clip, RandomBoneLengths(0.3)(clip)))
    moving = [joint for joint in range(15) if LAYOUT.parents[joint] != joint]
    factor = (after.norm(dim=-1) / before.norm(dim=-1))[:, :, moving]
    torch.testing.assert_close(after[:, :, moving], before[:, :, moving] * factor.unsqueeze(-1))
    torch.testing.assert_close(factor, factor[:1, :1].expand_as(factor))  # one for all frames
    assert factor.log().abs().max() <= 0.3 + 1e-4 and factor.std() > 0.05
    whole = torch.ones(15)
    whole[moving] = factor[0, 0]
    torch.testing.assert_close(whole, whole[list(LAYOUT.mirror)])


def test_a_missing_joint_stays_so_and_its_bones_as_they_are() -> None:
    bodies = torch.randn(1, 4, 15, 3)
    bodies[:, 2, LAYOUT.joint("left_elbow")] = 0
    clip = SkeletonSequence.from_bodies(bodies, skeleton=LAYOUT)
    result = RandomBoneLengths(0.3)(clip).bodies
    assert (result[:, 2, LAYOUT.joint("left_elbow")] == 0).all()
    wrist, shoulder = (LAYOUT.joint(name) for name in ("left_wrist", "left_shoulder"))
    torch.testing.assert_close(
        result[:, 2, wrist] - result[:, 2, shoulder], bodies[:, 2, wrist] - bodies[:, 2, shoulder]
    )


def test_strength() -> None:
    clip = SkeletonSequence.from_bodies(torch.randn(1, 4, 15, 3), skeleton=LAYOUT)
    torch.testing.assert_close(RandomBoneLengths(0.0)(clip).x, clip.x)
    with pytest.raises(ValueError, match="strength must be 0 or more and finite"):
        RandomBoneLengths(math.inf)
