from __future__ import annotations

import numpy as np
import pytest

from pyg_fsar.formats.pictures import from_camera, from_pixels, from_relative

RNG = np.random.default_rng(0)


def volume(joints: np.ndarray) -> float:
    """Signed volume of four joints, which a mirror would turn."""
    return float(np.linalg.det(joints[1:4] - joints[0]))


def test_bodies_in_3d_are_turned_and_not_mirrored() -> None:
    camera = RNG.normal(size=(4, 3))
    assert volume(from_camera(camera)) == pytest.approx(volume(camera))
    pixels = camera * 100 + 500
    assert volume(from_pixels(pixels, (1000, 500), dims=3)) == pytest.approx(
        volume(pixels) / 500**3, rel=1e-4
    )


def test_corners_of_the_picture() -> None:
    corners = np.array([[0, 0.01, 1], [640, 480, 1], [320, 240, 0.5]])
    np.testing.assert_allclose(
        from_pixels(corners, (640, 480)),
        [[-2 / 3, 0.5, 1], [2 / 3, -0.5, 1], [0, 0, 0.5]],
        atol=1e-4,
    )
    relative = corners / (640, 480, 1)
    np.testing.assert_allclose(
        from_relative(relative, (640, 480)), from_pixels(corners, (640, 480)), atol=1e-6
    )


def test_joints_that_were_not_found() -> None:
    joints = np.array([[5.0, 5, 0], [np.nan, 5, 1], [0, 0, 1], [5, 5, 1]])
    assert from_pixels(joints, (10, 10)).any(axis=-1).tolist() == [False, False, False, True]
    assert from_pixels(joints[:, :2], (10, 10))[..., 2].tolist() == [1, 0, 0, 1]
