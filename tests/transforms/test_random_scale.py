from __future__ import annotations

import pytest
import torch

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import RandomScale


def test_one_factor_within_bounds() -> None:
    clip = SkeletonSequence.from_bodies(torch.randn(2, 4, 25, 3))
    factors = []
    for _ in range(50):
        ratio = RandomScale((0.5, 2.0))(clip).x / clip.x
        torch.testing.assert_close(ratio, ratio[0, 0, 0].expand_as(ratio))
        factors.append(float(ratio[0, 0, 0]))
    assert 0.5 <= min(factors) < 1 < max(factors) <= 2.0


@pytest.mark.parametrize("scales", [(0.0, 1.0), (-1.0, 1.0), (1.2, 1.1)])
def test_bad_factors(scales: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="two positive factors in order"):
        RandomScale(scales)
