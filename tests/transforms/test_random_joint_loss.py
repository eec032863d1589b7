from __future__ import annotations

import pytest
import torch

from pyg_fsar import Skeleton
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import RandomJointLoss


def test_loses_joints_for_the_clip_or_one_run_of_frames() -> None:
    torch.manual_seed(0)
    clip = SkeletonSequence.from_bodies(torch.rand(40, 30, 25, 3) + 1)
    result = RandomJointLoss(0.3)(clip).bodies
    gone = (result == 0).all(dim=-1)
    assert torch.equal(result[~gone], clip.bodies[~gone])
    assert not gone[:, :, Skeleton.get("ntu25").center].any()
    share = gone.float().mean(dim=1)
    assert 0.12 < float((share == 1).float().mean()) < 0.18
    assert 0.12 < float(((share > 0) & (share < 1)).float().mean()) < 0.18
    # A joint is lost at most once and found at most once.
    assert (gone.int().diff(dim=1).abs().sum(dim=1) <= 2).all()


def test_scores_are_lost_too() -> None:
    clip = SkeletonSequence.from_bodies(torch.rand(1, 6, 17, 3) + 1, skeleton="coco17")
    gone = RandomJointLoss(1.0)(clip).bodies == 0
    assert torch.equal(gone.any(dim=-1), gone.all(dim=-1)) and gone.any()


def test_probability() -> None:
    clip = SkeletonSequence.from_bodies(torch.rand(2, 6, 25, 3) + 1)
    assert torch.equal(RandomJointLoss(0.0)(clip).x, clip.x)
    with pytest.raises(ValueError, match=r"p must be in 0\.\.1"):
        RandomJointLoss(1.5)
