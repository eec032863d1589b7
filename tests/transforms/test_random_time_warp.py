from __future__ import annotations

import pytest
import torch

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import RandomTimeWarp


def clock(num_frames: int = 40) -> SkeletonSequence:
    """A clip each coordinate of which is the number of the frame, from 1."""
    bodies = torch.arange(1.0, num_frames + 1).view(1, -1, 1, 1).expand(1, -1, 25, 3)
    return SkeletonSequence.from_bodies(bodies)


def test_time_runs_forwards_at_changing_speed_and_keeps_its_ends() -> None:
    torch.manual_seed(0)
    for _ in range(20):
        time = RandomTimeWarp(0.5)(clock()).bodies[0, :, 0, 0]
        speed = time.diff()
        assert (speed > 0).all()
        torch.testing.assert_close(time[[0, -1]], torch.tensor([1.0, 40.0]))
        assert 1 < speed.max() / speed.min() <= 2.7183
        assert speed.log().diff().abs().max() < 0.1  # smoothly


def test_no_strength_and_short_clips_change_nothing() -> None:
    torch.testing.assert_close(RandomTimeWarp(0.0)(clock()).x, clock().x)
    for num_frames in (1, 2):
        assert torch.equal(RandomTimeWarp()(clock(num_frames)).x, clock(num_frames).x)


def test_bad_options() -> None:
    with pytest.raises(ValueError, match="strength must be 0 or more and finite"):
        RandomTimeWarp(float("nan"))
    with pytest.raises(ValueError, match="num_knots must be at least 2"):
        RandomTimeWarp(num_knots=1)
