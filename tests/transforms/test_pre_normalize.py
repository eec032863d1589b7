from __future__ import annotations

import numpy as np
import pytest
import torch

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.testing import assert_transform
from pyg_fsar.transforms import PreNormalize2D, PreNormalize3D


def rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """By quaternions, none for a small axis or angle."""
    if np.abs(axis).sum() < 1e-6 or abs(angle) < 1e-6:
        return np.eye(3)
    w = np.cos(angle / 2)
    x, y, z = axis / np.linalg.norm(axis) * np.sin(angle / 2)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def plain(bodies: np.ndarray) -> np.ndarray:
    """What PYSKL does with clips ``[M, T, 25, 3]`` of one body or two, with loops."""
    bodies = bodies.astype(np.float64)
    frames = [[t for t in range(body.shape[0]) if np.abs(body[t]).max() > 1e-8] for body in bodies]
    if len(bodies) == 2 and len(frames[0]) < len(frames[1]):
        bodies, frames = bodies[[1, 0]], [frames[1], frames[0]]
    bodies = bodies[:, frames[0]]
    origin = bodies[0, 0, 1].copy()
    for body in bodies:
        for frame in body:
            for joint in range(25):
                if frame[joint].any():
                    frame[joint] -= origin
    for start, end, axis in ((0, 1, np.array([0, 0, 1.0])), (4, 8, np.array([1.0, 0, 0]))):
        vector = bodies[0, 0, end] - bodies[0, 0, start]
        size = np.linalg.norm(vector)
        angle = (
            0.0 if np.abs(vector).sum() < 1e-6 else np.arccos(np.clip(vector @ axis / size, -1, 1))
        )
        turn = rotation(np.cross(vector, axis), angle)
        bodies = np.einsum("mtvc,kc->mtvk", bodies, turn)
    return bodies


def clip_of(bodies: np.ndarray) -> SkeletonSequence:
    return SkeletonSequence.from_bodies(bodies, y=3, skeleton="ntu25", name="a")


@pytest.mark.parametrize("num_bodies", [1, 2])
def test_3d_equals_the_public_form(num_bodies: int) -> None:
    rng = np.random.default_rng(0)
    bodies = rng.normal(size=(num_bodies, 12, 25, 3)).astype(np.float32)
    bodies[0, [0, 5, 6]] = 0  # the first body is there in fewer frames
    bodies[-1, 3] = 0
    bodies[rng.random((num_bodies, 12, 25)) < 0.1] = 0
    bodies[:, 1] = rng.normal(size=(num_bodies, 25, 3))
    prepared = PreNormalize3D()(clip_of(bodies))
    expected = plain(bodies)
    assert prepared.bodies.shape == expected.shape
    np.testing.assert_allclose(prepared.bodies.numpy(), expected, atol=1e-5)
    assert (prepared.y, prepared.name) == (3, "a")


def test_3d_properties() -> None:
    prepared = PreNormalize3D()(clip_of(np.random.default_rng(1).normal(size=(2, 5, 25, 3))))
    first = prepared.bodies[0, 0]
    assert not first[1].any()
    shoulders = first[8] - first[4]
    torch.testing.assert_close(shoulders[1:], torch.zeros(2), atol=1e-5, rtol=0)
    assert shoulders[0] > 0
    assert_transform(PreNormalize3D())


@pytest.mark.parametrize("direction", [(0, 0, 1), (0, 0, -1), (0, 0, 0)])
def test_3d_leaves_a_spine_that_cannot_be_turned(direction: tuple[int, int, int]) -> None:
    bodies = np.zeros((1, 1, 25, 3))
    bodies[0, 0, [1, 4, 8]] = [[1, 1, 1], [0, 1, 1], [2, 1, 1]]
    bodies[0, 0, 0] = bodies[0, 0, 1] - np.array(direction)
    prepared = PreNormalize3D()(clip_of(bodies))
    np.testing.assert_allclose(prepared.bodies.numpy(), plain(bodies), atol=1e-6)


def test_3d_without_any_joint_or_of_three_bodies() -> None:
    empty = clip_of(np.zeros((2, 4, 25, 3)))
    assert torch.equal(PreNormalize3D()(empty).x, empty.x)
    bodies = np.random.default_rng(2).normal(size=(3, 6, 25, 3))
    bodies[0, :4], bodies[1, :2] = 0, 0
    prepared = PreNormalize3D()(clip_of(bodies))
    expected = PreNormalize3D()(clip_of(bodies[[2, 0, 1]]))
    torch.testing.assert_close(prepared.bodies, expected.bodies)


def test_3d_of_joints_marked_as_missing() -> None:
    bodies = np.random.default_rng(4).normal(size=(1, 5, 25, 3))
    bodies[0, :2, [1, 7]] = np.nan
    bodies[0, 3] = np.nan
    clip = SkeletonSequence.from_bodies(bodies, skeleton="ntu25", allow_nan=True)
    prepared = PreNormalize3D()(clip)
    expected = PreNormalize3D()(clip_of(np.nan_to_num(bodies)))
    assert prepared.num_frames == 4
    torch.testing.assert_close(prepared.bodies.nan_to_num(), expected.bodies)
    assert prepared.bodies[0, 0, 7].isnan().all()


def test_3d_of_other_layouts() -> None:
    x = np.random.default_rng(3).normal(size=(1, 4, 15, 3))
    clip = SkeletonSequence.from_bodies(x, skeleton="body15")
    prepared = PreNormalize3D(spine=("pelvis", "neck"), center=0)(clip)
    spine = prepared.bodies[0, 0, 1] - prepared.bodies[0, 0, 0]
    assert abs(float(spine.norm()) - np.linalg.norm(x[0, 0, 1] - x[0, 0, 0])) < 1e-5
    with pytest.raises(ValueError, match="no joint 'spine_mid'"):
        PreNormalize3D()(clip)
    flat = SkeletonSequence.from_bodies(x[:, :, :1].repeat(17, 2), skeleton="coco17")
    with pytest.raises(ValueError, match="'coco17' has 2 coordinates; use PreNormalize2D"):
        PreNormalize3D()(flat)


def test_2d_equals_the_public_form() -> None:
    """From pixels, by the reader's axes to PYSKL's."""
    rng = np.random.default_rng(0)
    width, height = 640, 480
    pixels = rng.uniform(1, 400, size=(1, 6, 17, 2))
    score = rng.uniform(0.1, 1, size=(1, 6, 17, 1))
    score[0, 2, 3] = 0
    public = np.stack([pixels[..., 0] / width, pixels[..., 1] / height], axis=-1) * 2 - 1
    public = np.where(score > 0, np.concatenate([public, score], axis=-1), 0)
    ours = [(pixels[..., 0] - width / 2) / height, (height / 2 - pixels[..., 1]) / height]
    ours = np.where(score > 0, np.concatenate([np.stack(ours, axis=-1), score], axis=-1), 0)
    clip = SkeletonSequence.from_bodies(ours, skeleton="coco17")
    prepared = PreNormalize2D(width / height)(clip)
    np.testing.assert_allclose(prepared.bodies.numpy(), public, atol=1e-6)
    without = PreNormalize2D(width / height, score=False)(clip)
    np.testing.assert_allclose(without.bodies.numpy(), public[..., :2], atol=1e-6)
    assert_transform(PreNormalize2D(), clip)


def test_2d_refuses_other_input() -> None:
    with pytest.raises(ValueError, match="'ntu25' has 3 coordinates; use PreNormalize3D"):
        PreNormalize2D()(clip_of(np.ones((1, 2, 25, 3))))
    for aspect in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="aspect must be the picture's width / height"):
            PreNormalize2D(aspect)
