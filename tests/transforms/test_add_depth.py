from __future__ import annotations

import pytest
import torch

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.testing import assert_transform
from pyg_fsar.transforms import AddDepth


def test_2d_becomes_3d_without_score() -> None:
    bodies = torch.rand(2, 4, 15, 3)
    bodies[0, 1, 3] = torch.nan
    clip = SkeletonSequence.from_bodies(bodies, skeleton="body15_2d", y=2, allow_nan=True)
    result = AddDepth()(clip)
    assert result.skeleton == "body15" and result.y == 2
    expected = torch.cat([bodies[..., :2], torch.zeros(2, 4, 15, 1)], dim=-1)
    expected[0, 1, 3] = 0
    assert torch.equal(result.bodies, expected)


def test_3d_stays() -> None:
    bodies = torch.rand(1, 4, 33, 4)
    clip = SkeletonSequence.from_bodies(bodies, skeleton="mediapipe33")
    assert torch.equal(AddDepth()(clip).bodies, bodies[..., :3])


def test_any_layout() -> None:
    clip = SkeletonSequence.from_bodies(torch.rand(1, 4, 17, 2), skeleton="coco17")
    assert AddDepth()(clip).skeleton == "coco17_3d"
    assert_transform(AddDepth(), clip)


def test_views_are_made_narrower() -> None:
    bodies = torch.rand(1, 4, 15, 3)
    flat = SkeletonSequence.from_bodies(bodies, skeleton="body15_2d")
    expected = bodies[..., :2] * torch.tensor([0.6, 1.0])
    assert torch.equal(AddDepth(0.6)(flat).bodies[..., :2], expected)
    deep = SkeletonSequence.from_bodies(bodies, skeleton="body15")
    assert torch.equal(AddDepth(0.6)(deep).bodies, bodies)
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="width must be positive and finite"):
            AddDepth(wrong)
