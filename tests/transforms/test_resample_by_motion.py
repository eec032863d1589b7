from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.testing import assert_transform
from pyg_fsar.transforms import ResampleByMotion, ResampleFrames


def clip_of(path: Tensor, moving: int = 5) -> SkeletonSequence:
    """A body at rest, apart from one joint that is at ``path`` along x."""
    bodies = torch.linspace(1, 2, 15 * 3).view(15, 3).repeat(1, len(path), 1, 1)
    bodies[0, :, moving, 0] += path
    return SkeletonSequence.from_bodies(bodies, skeleton="body15")


def path_of(clip: SkeletonSequence, moving: int = 5) -> Tensor:
    path = clip.bodies[0, :, moving, 0]
    return path - path[0]


def test_contract() -> None:
    assert_transform(ResampleByMotion(7))
    assert_transform(ResampleByMotion(20, fraction=1.0))


def test_by_path_alone_every_step_is_equally_long() -> None:
    pause = torch.zeros(9)
    path = torch.cat([pause, torch.linspace(0, 1, 5) ** 2, 1 + pause, torch.linspace(1, 4, 20)])
    result = path_of(ResampleByMotion(9, fraction=1.0)(clip_of(path)))
    torch.testing.assert_close(result, torch.linspace(0, 4, 9), atol=1e-4, rtol=0)


def test_speed_is_halved_in_the_mixture() -> None:
    # Twice as fast in the second half: mean speed 1.5, so paces (0.5 + 0.5 * 2/3, 0.5 + 0.5 * 4/3).
    path = torch.cat([torch.linspace(0, 1, 61), 1 + torch.linspace(0, 2, 61)[1:]])
    result = path_of(ResampleByMotion(13)(clip_of(path)))
    slow, fast = 12 * 5 / 12, 12 * 7 / 12  # frames that either half takes
    time = torch.arange(13.0)
    expected = torch.where(time <= slow, time / slow, 1 + 2 * (time - slow) / fast)
    torch.testing.assert_close(result, expected, atol=1e-3, rtol=0)


def test_without_movement_or_by_time_alone_it_is_even() -> None:
    even = ResampleFrames(6, "linear")
    still = clip_of(torch.zeros(11))
    torch.testing.assert_close(ResampleByMotion(6)(still).bodies, even(still).bodies)
    clip = clip_of(torch.linspace(0, 1, 11) ** 3)
    torch.testing.assert_close(
        ResampleByMotion(6, fraction=0)(clip).bodies, even(clip).bodies, atol=1e-5, rtol=0
    )


def test_walking_does_not_hide_the_limbs() -> None:
    """All joints share the way of the central one, which counts once."""
    path = torch.cat([torch.linspace(0, 1, 30), torch.ones(30)])
    clip = clip_of(path)
    walk = torch.cat([torch.zeros(30), torch.linspace(0, 1, 30)])
    clip.x[:, :, 2] += walk[:, None]
    result = ResampleByMotion(21, fraction=1.0)(clip).bodies[0]
    arm, way = result[:, 5, 0] - result[0, 5, 0], result[:, 0, 2] - result[0, 0, 2]
    # The arm's path and the way are equally long, and so take the same number of frames.
    assert int((arm < 0.99).sum()) == 10 and int((way > 0.01).sum()) in (10, 11)


@pytest.mark.parametrize("mark", [0.0, torch.nan])
def test_missing_joints_are_no_movement(mark: float) -> None:
    clip = clip_of(torch.linspace(0, 1, 11))
    expected = path_of(ResampleByMotion(6)(clip))
    bodies = clip.bodies.clone()
    bodies[0, 3:7, 9] = mark
    result = ResampleByMotion(6)(clip.with_bodies(bodies))
    torch.testing.assert_close(path_of(result), expected)
    gone = result.bodies[0, :, 9].isnan() if mark else result.bodies[0, :, 9] == 0
    assert gone.all(dim=-1).tolist() == [False, False, True, True, False, False]


def test_a_missing_centre() -> None:
    clip = clip_of(torch.linspace(0, 1, 11))
    expected = path_of(ResampleByMotion(6)(clip))
    clip.x[:, 0] = 0
    torch.testing.assert_close(path_of(ResampleByMotion(6)(clip)), expected)


def test_scores_and_dtype() -> None:
    bodies = torch.rand(2, 9, 17, 3, dtype=torch.float64)
    clip = SkeletonSequence.from_bodies(bodies, skeleton="coco17").with_bodies(bodies)
    result = ResampleByMotion(5)(clip).bodies
    assert result.dtype == torch.float64 and result.shape == (2, 5, 17, 3)
    torch.testing.assert_close(result[:, [0, -1]], bodies[:, [0, -1]])


def test_refuses_options() -> None:
    with pytest.raises(ValueError, match="num_frames must be at least 1"):
        ResampleByMotion(0)
    with pytest.raises(ValueError, match=r"fraction must be in 0\.\.1, got 1\.5"):
        ResampleByMotion(8, fraction=1.5)
