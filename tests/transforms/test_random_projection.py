from __future__ import annotations

import math

import pytest
import torch

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import MapJoints, RandomMirror, RandomProjection


def make_clip() -> SkeletonSequence:
    return SkeletonSequence.from_bodies(torch.randn(2, 5, 15, 3), y=3, skeleton="body15")


def test_the_front_view_drops_the_depth_and_adds_a_score() -> None:
    clip = make_clip()
    clip.x[4, 7] = 0
    flat = RandomProjection(0, 0)(clip)
    assert (flat.skeleton, flat.y) == ("body15_2d", 3)
    torch.testing.assert_close(flat.x[..., :2], clip.x[..., :2])
    score = torch.ones(10, 15)
    score[4, 7] = 0
    assert torch.equal(flat.x[..., 2], score)
    assert (flat.x[4, 7] == 0).all()


def test_angles_have_the_range_that_was_asked_for() -> None:
    axes = torch.eye(3).repeat(5, 1)  # x, y and z
    clip = SkeletonSequence.from_bodies(axes.expand(1, 4, 15, 3), skeleton="body15")
    torch.manual_seed(0)
    views = torch.stack([RandomProjection(60, 10)(clip).x[0, :3, :2] for _ in range(400)])
    vertical = views[:, 1]
    assert (vertical[:, 0].abs() < 1e-6).all()  # upright people stay upright
    elevation = vertical[:, 1].clamp(max=1).acos().rad2deg()
    azimuth = views[:, 0, 0].clamp(max=1).acos().rad2deg()
    assert 9 < elevation.max() <= 10.1 and 55 < azimuth.max() <= 60.1
    assert (views[:, 2, 0] < -0.5).any() and (views[:, 2, 0] > 0.5).any()  # from either side


def test_clips_in_2d_and_those_left_out_stay() -> None:
    clip = make_clip()
    assert RandomProjection(p=0)(clip) is not clip
    assert torch.equal(RandomProjection(p=0)(clip).x, clip.x)
    flat = RandomProjection()(clip)
    assert torch.equal(RandomProjection()(flat).x, flat.x)
    torch.manual_seed(0)
    kinds = [RandomProjection(p=0.3)(clip).skeleton for _ in range(200)]
    assert 40 < kinds.count("body15_2d") < 80


def test_other_transforms_take_the_result() -> None:
    flat = RandomProjection()(make_clip())
    assert MapJoints("body15")(RandomMirror(1.0)(flat)).skeleton == "body15_2d"


def test_bad_options() -> None:
    for wrong in (-1, math.nan):
        with pytest.raises(ValueError, match="angles must not be negative"):
            RandomProjection(wrong)
    with pytest.raises(ValueError, match=r"p must be in 0\.\.1"):
        RandomProjection(p=2)
