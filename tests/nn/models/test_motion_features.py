from __future__ import annotations

import pytest
import torch

from pyg_fsar.nn import MotionFeatures
from pyg_fsar.testing import assert_encoder


@pytest.mark.parametrize("skeleton", ["body15", "ntu25", "coco17"])
def test_is_an_encoder(skeleton: str) -> None:
    assert_encoder(MotionFeatures(skeleton), skeleton)


def test_equals_the_definition() -> None:
    x = torch.randn(2, 5, 15, 3, dtype=torch.float64)
    out = MotionFeatures("body15", velocity=3.0)(x)
    for body in range(2):
        relative = x[body] - x[body, :, :1]
        relative[:, 0] = x[body, :, 0]
        for joint in range(15):
            places = relative[:, joint]
            torch.testing.assert_close(out[body, :, joint, :3], places - places.mean(dim=0))
            steps = torch.stack([
                places[1] - places[0],
                *(places[t + 1] - places[t - 1] for t in range(1, 4)),
                places[4] - places[3],
            ])  # fmt: skip
            torch.testing.assert_close(out[body, :, joint, 3:], 3 * steps)


def test_place_build_and_posture_cancel_out() -> None:
    x, other = torch.randn(1, 8, 15, 3), torch.randn(1, 1, 15, 3)
    encoder = MotionFeatures()
    torch.testing.assert_close(encoder(x + other), encoder(x), atol=1e-5, rtol=0)


def test_a_missing_joint_is_zero_and_no_other_changes() -> None:
    x = torch.randn(1, 6, 15, 3)
    whole = MotionFeatures()(x)
    x[:, 2, 7] = 0
    out = MotionFeatures()(x)
    assert (out[:, 2, 7] == 0).all()
    assert (out[:, [1, 3], 7, 3:] == 0).all() and (out[:, [0, 4, 5], 7, 3:] != 0).all()
    others = [joint for joint in range(15) if joint != 7]
    torch.testing.assert_close(out[:, :, others], whole[:, :, others])
    there = [0, 1, 3, 4, 5]
    torch.testing.assert_close(out[:, there, 7, :3].mean(dim=1), torch.zeros(1, 3))
    x[:, :, 7] = 0
    assert (MotionFeatures()(x)[:, :, 7] == 0).all()


def test_one_frame_does_not_move() -> None:
    assert (MotionFeatures()(torch.randn(2, 1, 15, 3)) == 0).all()


def test_is_kept_in_a_folder(tmp_path) -> None:
    MotionFeatures("coco17", velocity=1.5).save_pretrained(tmp_path)
    loaded = MotionFeatures.from_pretrained(tmp_path)
    assert loaded.velocity == 1.5 and loaded.skeleton.name == "coco17"
    assert "velocity=1.5" in repr(loaded)
