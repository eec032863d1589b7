from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from pyg_fsar import FewShotModel
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.matching import build_matcher
from pyg_fsar.nn import STGCN
from pyg_fsar.testing import assert_transform
from pyg_fsar.transforms import UniformSampleFrames


def plain(length: int, wanted: int, num_clips: int) -> np.ndarray:
    """PYSKL's frame numbers of test clips, ``[num_clips, wanted]`` by NumPy's generator."""
    rng = np.random.RandomState(255)
    clips = []
    for number in range(num_clips):
        rng.rand()
        rng.randint(1)
        if length < wanted:
            start = number if length < num_clips else number * length // num_clips
            clips.append([(start + i) % length for i in range(wanted)])
        elif length < 2 * wanted:
            left_out = rng.choice(wanted + 1, length - wanted, replace=False)
            clips.append([i + sum(gap <= i for gap in left_out) for i in range(wanted)])
        else:
            edges = [i * length // wanted for i in range(wanted + 1)]
            sizes = [after - start for start, after in itertools.pairwise(edges)]
            clips.append(np.array(edges[:-1]) + rng.randint(sizes))
    return np.array(clips)


def numbered(length: int, num_bodies: int = 1) -> SkeletonSequence:
    """A clip of which every joint tells frame and body."""
    x = (
        1
        + torch.arange(length).view(1, -1, 1, 1)
        + 1000 * torch.arange(num_bodies).view(-1, 1, 1, 1)
    )
    return SkeletonSequence.from_bodies(x.expand(num_bodies, length, 25, 3).float(), y=2)


def frames(clip: SkeletonSequence) -> torch.Tensor:
    return clip.bodies[..., 0, 0].long() - 1


@pytest.mark.parametrize("num_clips", [1, 10])
@pytest.mark.parametrize("length", [1, 2, 7, 99, 100, 101, 150, 199, 200, 201, 777])
def test_test_clips_are_those_of_the_public_code(length: int, num_clips: int) -> None:
    sampled = UniformSampleFrames(100, num_clips)(numbered(length))
    assert sampled.num_bodies == num_clips
    np.testing.assert_array_equal(frames(sampled).numpy(), plain(length, 100, num_clips))


@pytest.mark.parametrize("length", [16, 20, 31, 32, 33, 90])
def test_training_clips_are_drawn_from_equal_segments(length: int) -> None:
    sample = UniformSampleFrames(16, seed=None)
    drawn = torch.stack([frames(sample(numbered(length)))[0] for _ in range(200)])
    assert (drawn.diff(dim=1) > 0).all()
    assert drawn.min() == 0 or length > 16
    if length >= 32:
        edges = torch.arange(17) * length // 16
        assert ((drawn >= edges[:-1]) & (drawn < edges[1:])).all()
        assert set(drawn[:, 5].tolist()) == set(range(int(edges[5]), int(edges[6])))
    elif length > 16:
        assert len(drawn.unique(dim=0)) > 1 and drawn.max() == length - 1


def test_short_training_clips_are_repeated_from_a_random_frame() -> None:
    sample = UniformSampleFrames(16, seed=None)
    drawn = torch.stack([frames(sample(numbered(5)))[0] for _ in range(100)])
    assert set(drawn[:, 0].tolist()) == set(range(5))
    assert ((drawn.diff(dim=1) % 5) == 1).all()


def test_samples_follow_each_other_as_bodies() -> None:
    clip = UniformSampleFrames(8, num_clips=3)(numbered(30, num_bodies=2))
    assert clip.bodies.shape == (6, 8, 25, 3)
    assert torch.equal(frames(clip)[0::2] + 1000, frames(clip)[1::2])


def test_a_model_averages_the_samples() -> None:
    model = FewShotModel(STGCN("ntu25", num_blocks=2), build_matcher("dtw")).eval()
    clip = SkeletonSequence.from_bodies(torch.randn(1, 40, 25, 3), y=0)
    three = UniformSampleFrames(8, num_clips=3)(clip)
    apart = [clip.with_bodies(body[None]) for body in three.bodies]
    with torch.no_grad():
        mean = torch.stack([model.embed([sample]).x for sample in apart]).mean(dim=0)
        torch.testing.assert_close(model.embed([three]).x, mean)


def test_contract_and_options() -> None:
    for seed in (None, 3):
        assert_transform(UniformSampleFrames(7, num_clips=2, seed=seed))
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        UniformSampleFrames(0)
    with pytest.raises(ValueError, match="num_clips must be at least 1, got 0"):
        UniformSampleFrames(7, num_clips=0)
