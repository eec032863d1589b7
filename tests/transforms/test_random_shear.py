from __future__ import annotations

import pytest
import torch

from pyg_fsar import Skeleton
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import RandomShear


@pytest.mark.parametrize(("skeleton", "dims"), [("ntu25", 3), ("coco17", 2)])
def test_is_linear_with_bounded_shares(skeleton: str, dims: int) -> None:
    joints = Skeleton.get(skeleton).num_joints
    clip = SkeletonSequence.from_bodies(torch.randn(2, 4, joints, dims), skeleton=skeleton)
    x, sheared = clip.x.flatten(0, 1), RandomShear(0.3)(clip).x.flatten(0, 1)
    matrix = torch.linalg.lstsq(x, sheared).solution
    torch.testing.assert_close(x @ matrix, sheared)
    torch.testing.assert_close(matrix.diagonal(), torch.ones(dims))
    shares = (matrix - torch.eye(dims)).abs()
    assert 0.01 < shares.max() <= 0.3


def test_negative_share() -> None:
    with pytest.raises(ValueError, match="shear must not be negative"):
        RandomShear(-0.1)
    with pytest.raises(ValueError, match="NaN or infinite, got nan"):
        RandomShear(float("nan"))
