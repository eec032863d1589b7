from __future__ import annotations

import numpy as np
import pytest
import torch

from pyg_fsar import Skeleton
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import FillMissingJoints


@pytest.mark.parametrize("mark", [0.0, torch.nan])
def test_interpolates_like_numpy(mark: float) -> None:
    bodies = torch.randn(2, 15, 25, 3)
    gap = torch.rand(2, 15, 25) < 0.6
    gap[:, 7] = True  # whole frames, too
    gap[:, 3] = False  # but no joint throughout
    truth = bodies.clone()
    bodies[gap] = mark
    clip = SkeletonSequence.from_bodies(bodies, allow_nan=True)
    filled = FillMissingJoints()(clip).bodies
    assert torch.equal(filled[~gap], truth[~gap])
    time = np.arange(15)
    for body, joint, channel in np.ndindex(2, 25, 3):
        known = ~gap[body, :, joint].numpy()
        expected = np.interp(time, time[known], truth[body, known, joint, channel].numpy())
        np.testing.assert_allclose(filled[body, :, joint, channel], expected, atol=1e-5)


def test_a_joint_missing_throughout_takes_its_nearest_ancestors_place() -> None:
    clip = SkeletonSequence.from_bodies(torch.randn(2, 5, 25, 3))
    ntu = Skeleton.get("ntu25")
    wrist, hand, elbow = (ntu.joint(f"left_{name}") for name in ("wrist", "hand", "elbow"))
    bodies = clip.bodies.clone()
    bodies[0, :, [wrist, hand]] = 0
    filled = FillMissingJoints()(clip.with_bodies(bodies)).bodies
    assert torch.equal(filled[0, :, wrist], bodies[0, :, elbow])
    assert torch.equal(filled[0, :, hand], bodies[0, :, elbow])
    assert torch.equal(filled[1], bodies[1])


def test_without_ancestors_zero_is_left() -> None:
    bodies = torch.randn(2, 5, 25, 3)
    bodies[0, :, 20] = torch.nan  # the root
    bodies[1] = torch.nan  # nobody
    clip = SkeletonSequence.from_bodies(bodies, allow_nan=True)
    filled = FillMissingJoints()(clip).bodies
    assert (filled[0, :, 20] == 0).all()
    assert (filled[1] == 0).all()


def test_filled_joints_have_no_score() -> None:
    bodies = torch.rand(1, 5, 17, 3) + 0.1
    bodies[0, 2, 4] = 0
    bodies[0, 3, 5] = torch.nan
    clip = SkeletonSequence.from_bodies(bodies, skeleton="coco17", allow_nan=True)
    filled = FillMissingJoints()(clip).bodies
    assert filled[0, 2, 4, 2] == filled[0, 3, 5, 2] == 0
    assert (filled[0, [2, 3], [4, 5], :2] > 0).all()


def test_a_complete_clip_stays_as_it_is() -> None:
    clip = SkeletonSequence.from_bodies(torch.randn(2, 5, 25, 3))
    assert torch.equal(FillMissingJoints()(clip).x, clip.x)
