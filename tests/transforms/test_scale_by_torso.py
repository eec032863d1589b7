from __future__ import annotations

import pytest
import torch

from pyg_fsar import Skeleton
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import ScaleByTorso
from pyg_fsar.transforms.utils import torso


@pytest.mark.parametrize("skeleton", ["ntu25", "kinect20", "openpose18", "coco17", "h36m17"])
def test_drops_body_size(skeleton: str) -> None:
    joints = Skeleton.get(skeleton).num_joints
    clip = SkeletonSequence.from_bodies(torch.randn(2, 7, joints, 2), skeleton=skeleton)
    result = ScaleByTorso()(clip)
    for factor in (0.01, 3.0, 1e4):
        torch.testing.assert_close(
            ScaleByTorso()(clip.with_bodies(clip.bodies * factor)).x, result.x
        )
    lengths = torso(result)[1].norm(dim=-1)
    torch.testing.assert_close(lengths.median(), torch.tensor(1.0))


def test_one_factor_for_the_clip() -> None:
    clip = SkeletonSequence.from_bodies(torch.randn(2, 7, 25, 3))
    ratio = ScaleByTorso()(clip).x / clip.x
    torch.testing.assert_close(ratio, ratio[0, 0, 0].expand_as(ratio))


def test_only_frames_with_a_torso_count() -> None:
    clip = SkeletonSequence.from_bodies(torch.randn(2, 7, 25, 3))
    bodies = clip.bodies.clone()
    bodies[0, 2:, 16] = 0
    bodies[1, :, 4] = 0
    factor = ScaleByTorso()(clip.with_bodies(bodies)).bodies[0, 0] / bodies[0, 0]
    shorter = ScaleByTorso()(clip.with_bodies(bodies[:1, :2])).bodies[0, 0] / bodies[0, 0]
    torch.testing.assert_close(factor, shorter)


def test_without_a_torso_nothing_changes() -> None:
    clip = SkeletonSequence.from_bodies(torch.randn(1, 3, 25, 3))
    clip.x[:, 4] = 0
    assert torch.equal(ScaleByTorso()(clip).x, clip.x)
    point = SkeletonSequence.from_bodies(torch.ones(1, 3, 25, 3))  # torso without length
    assert torch.equal(ScaleByTorso()(point).x, point.x)
