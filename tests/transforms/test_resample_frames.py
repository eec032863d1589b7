from __future__ import annotations

import numpy as np
import pytest
import torch

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import ResampleFrames


def clock(num_frames: int, num_bodies: int = 2) -> SkeletonSequence:
    """A clip whose frames tell their number, counted from 1."""
    time = torch.arange(1, num_frames + 1).float().view(1, -1, 1, 1)
    return SkeletonSequence.from_bodies(time.expand(num_bodies, -1, 25, 3).contiguous())


def frames(clip: SkeletonSequence) -> list[float]:
    assert (clip.bodies == clip.bodies[:1, :, :1, :1]).all()  # bodies and joints stay together
    return (clip.bodies[0, :, 0, 0] - 1).tolist()


@pytest.mark.parametrize("num_frames", [1, 7, 30, 31, 59, 300])
def test_random_segments(num_frames: int) -> None:
    resample, wanted = ResampleFrames(30), 30
    seen = set()
    for _ in range(50):
        drawn = frames(resample(clock(num_frames)))
        for i, frame in enumerate(drawn):
            first, end = i * num_frames // wanted, (i + 1) * num_frames // wanted
            assert first <= frame < max(end, first + 1)
        seen.update(drawn)
    if num_frames <= 59:
        assert seen == set(range(num_frames))  # every frame has its chance


def test_random_segments_repeat_no_frame_of_a_long_clip() -> None:
    for num_frames in range(30, 90):
        assert len(set(frames(ResampleFrames(30)(clock(num_frames))))) == 30


@pytest.mark.parametrize("num_frames", [1, 7, 30, 31, 59, 300])
def test_uniform_takes_segment_centres(num_frames: int) -> None:
    drawn = frames(ResampleFrames(30, "uniform")(clock(num_frames)))
    centres = (np.arange(30) + 0.5) * num_frames / 30
    assert drawn == np.floor(centres + 1e-9).tolist()
    assert drawn == frames(ResampleFrames(30, "uniform")(clock(num_frames)))


@pytest.mark.parametrize("num_frames", [2, 7, 30, 100])
def test_linear_keeps_steady_movement_steady(num_frames: int) -> None:
    drawn = frames(ResampleFrames(30, "linear")(clock(num_frames)))
    np.testing.assert_allclose(drawn, np.linspace(0, num_frames - 1, 30), atol=1e-4)


def test_linear_of_the_same_length_changes_nothing() -> None:
    clip = SkeletonSequence.from_bodies(torch.randn(2, 30, 25, 3))
    torch.testing.assert_close(ResampleFrames(30, "linear")(clip).x, clip.x)


def test_linear_does_not_mix_with_missing_joints() -> None:
    clip = clock(5, num_bodies=1)
    clip.x[2, 4] = 0
    result = ResampleFrames(17, "linear")(clip).bodies[0]
    distance = (torch.linspace(0, 4, 17) - 2).abs()
    assert (result[distance < 0.5, 4] == 0).all()
    assert (result[distance > 0.5, 4] >= 1).all()
    assert torch.equal(result[:, 5], ResampleFrames(17, "linear")(clock(5, 1)).bodies[0, :, 5])


def test_errors() -> None:
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        ResampleFrames(0)
    with pytest.raises(ValueError, match="unknown mode 'cubic'; known are random_segments"):
        ResampleFrames(3, "cubic")
