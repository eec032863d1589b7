from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import RankMax


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (25, 3)])
@pytest.mark.parametrize("power", [0.0, 0.3, 1.0])
def test_raises_singular_values_to_the_power(shape: tuple[int, int], power: float) -> None:
    x = torch.randn(shape, dtype=torch.float64) @ torch.diag(torch.rand(shape[1]).double() + 0.1)
    result = RankMax(power)(Data(x=x)).x
    old, new = torch.linalg.svdvals(x), torch.linalg.svdvals(result)
    torch.testing.assert_close(new / new[0], (old / old[0]) ** power)
    torch.testing.assert_close(result.norm(), x.norm())
    # the singular vectors stay: both products are symmetric only then
    torch.testing.assert_close(result @ x.t(), x @ result.t())
    torch.testing.assert_close(result.t() @ x, x.t() @ result)
    if power == 1:
        torch.testing.assert_close(result, x)


def test_rounding_is_not_raised_to_a_direction() -> None:
    x = torch.randn(25, 2) @ torch.randn(2, 8)
    values = torch.linalg.svdvals(RankMax(0.0)(Data(x=x)).x)
    torch.testing.assert_close(values[0], values[1])
    assert (values[2:] < 1e-5 * values[0]).all()
    assert (RankMax(0.0)(Data(x=torch.zeros(4, 3))).x == 0).all()


def test_each_frame_of_a_clip() -> None:
    clip = SkeletonSequence.from_bodies(torch.randn(2, 4, 25, 3))
    frames = torch.stack([RankMax(0.2)(frame).x for frame in clip.to_frames()])
    torch.testing.assert_close(RankMax(0.2)(clip).x, frames)


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"power must be in 0\.\.1, got 2"):
        RankMax(2)
    with pytest.raises(ValueError, match="NaN or infinite; apply FillMissingJoints"):
        RankMax()(Data(x=torch.full((3, 2), torch.nan)))
