from __future__ import annotations

import pytest
import torch

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import RandomJitter


def test_noise_is_independent_with_the_given_deviation() -> None:
    clip = SkeletonSequence.from_bodies(torch.randn(2, 50, 25, 3))
    noise = (RandomJitter(0.5)(clip).bodies - clip.bodies).flatten(2)
    assert abs(float(noise.std()) - 0.5) < 0.02
    assert abs(float(noise.mean())) < 0.02
    frames = noise.flatten(0, 1)
    correlation = torch.corrcoef(frames) - torch.eye(100)
    assert correlation.abs().max() < 0.7


def test_negative_deviation() -> None:
    with pytest.raises(ValueError, match="std must not be negative"):
        RandomJitter(-1)
    with pytest.raises(ValueError, match="NaN or infinite, got nan"):
        RandomJitter(float("nan"))
