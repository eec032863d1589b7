from __future__ import annotations

import pytest
import torch

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import RandomTemporalCrop


def test_keeps_a_stretch_of_allowed_length() -> None:
    clip = SkeletonSequence.from_bodies(torch.randn(2, 20, 25, 3))
    lengths, starts = set(), set()
    for _ in range(200):
        part = RandomTemporalCrop(0.5)(clip).bodies
        start = int((clip.bodies[0, :, 0, 0] == part[0, 0, 0, 0]).nonzero())
        assert torch.equal(part, clip.bodies[:, start : start + part.size(1)])
        lengths.add(part.size(1))
        starts.add(start)
    assert min(lengths) in (10, 11) and max(lengths) == 20
    assert min(starts) == 0 and max(starts) >= 7


def test_the_whole_clip() -> None:
    clip = SkeletonSequence.from_bodies(torch.randn(2, 20, 25, 3))
    assert torch.equal(RandomTemporalCrop(1.0)(clip).x, clip.x)


@pytest.mark.parametrize("fraction", [0.0, 1.1])
def test_bad_fraction(fraction: float) -> None:
    with pytest.raises(ValueError, match="min_fraction must be above 0 and at most 1"):
        RandomTemporalCrop(fraction)
