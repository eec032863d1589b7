from __future__ import annotations

import math

import pytest
import torch

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import RandomRotate


def angle_about(clip: SkeletonSequence, turned: SkeletonSequence) -> tuple[torch.Tensor, float]:
    matrix = torch.linalg.lstsq(clip.x.flatten(0, 1), turned.x.flatten(0, 1)).solution.t()
    return matrix, math.degrees(math.acos(min(1.0, (float(matrix.trace()) - 1) / 2)))


@pytest.fixture
def clip() -> SkeletonSequence:
    return SkeletonSequence.from_bodies(torch.randn(2, 4, 25, 3))


def test_a_number_turns_about_the_vertical_axis(clip: SkeletonSequence) -> None:
    angles = []
    for _ in range(50):
        turned = RandomRotate(40)(clip)
        torch.testing.assert_close(turned.x[..., 1], clip.x[..., 1])
        matrix, angle = angle_about(clip, turned)
        torch.testing.assert_close(matrix @ matrix.t(), torch.eye(3), atol=1e-5, rtol=0)
        assert torch.linalg.det(matrix) > 0
        angles.append(math.copysign(angle, float(matrix[0, 2])))
    assert max(map(abs, angles)) <= 40.1
    assert max(angles) > 20 and min(angles) < -20


def test_three_numbers_turn_about_each_axis(clip: SkeletonSequence) -> None:
    for axis in range(3):
        degrees = [0.0, 0.0, 0.0]
        degrees[axis] = 90.0
        turned = RandomRotate(degrees)(clip)
        torch.testing.assert_close(turned.x[..., axis], clip.x[..., axis])
        assert not torch.allclose(turned.x, clip.x)


def test_three_turns_follow_each_other(clip: SkeletonSequence) -> None:
    turned = clip
    for degrees in [(30, 0, 0), (0, 60, 0), (0, 0, 90)]:
        torch.manual_seed(7)
        turned = RandomRotate(degrees)(turned)
    torch.manual_seed(7)
    torch.testing.assert_close(RandomRotate((30, 60, 90))(clip).x, turned.x)
    matrix, _ = angle_about(clip, turned)
    torch.testing.assert_close(matrix @ matrix.t(), torch.eye(3), atol=1e-5, rtol=0)
    assert torch.linalg.det(matrix) > 0


def test_zero_degrees_change_nothing(clip: SkeletonSequence) -> None:
    torch.testing.assert_close(RandomRotate(0)(clip).x, clip.x)


def test_flat_clips_turn_in_their_plane() -> None:
    clip = SkeletonSequence.from_bodies(torch.randn(1, 4, 17, 2), skeleton="coco17")
    turned = RandomRotate(90)(clip)
    torch.testing.assert_close(turned.x.norm(dim=-1), clip.x.norm(dim=-1))
    assert not torch.allclose(turned.x, clip.x)
    with pytest.raises(ValueError, match=r"'coco17' has 2 coordinates .* one angle"):
        RandomRotate((1, 2, 3))(clip)


def test_two_angles_are_refused() -> None:
    with pytest.raises(ValueError, match="one number or three, got 2"):
        RandomRotate((10, 20))
