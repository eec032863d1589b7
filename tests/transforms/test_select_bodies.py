from __future__ import annotations

import pytest
import torch

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import SelectBodies


def crowd(skeleton: str = "ntu25", joints: int = 25) -> SkeletonSequence:
    """Four people who move more and more, and before them all nobody."""
    liveliness = torch.tensor([0.0, 1, 3, 2, 4]).view(-1, 1, 1, 1)
    bodies = torch.randn(5, 9, joints, 3) * liveliness + (liveliness > 0)
    return SkeletonSequence.from_bodies(bodies, skeleton=skeleton)


@pytest.mark.parametrize("num", [1, 2, 4, 5, 9])
def test_liveliest_first_and_nobody_never(num: int) -> None:
    clip = crowd()
    assert torch.equal(SelectBodies(num)(clip).bodies, clip.bodies[[4, 2, 3, 1][:num]])


def test_absence_is_not_motion() -> None:
    clip = crowd()
    bodies = clip.bodies[:2].clone()
    bodies[0] = 100  # stands still, far away, and is there only half of the time
    bodies[0, ::2] = 0
    assert torch.equal(SelectBodies(1)(clip.with_bodies(bodies)).bodies, bodies[1:])


def test_order_of_equals_is_kept() -> None:
    bodies = torch.randn(1, 9, 25, 4).repeat(3, 1, 1, 1)
    bodies[..., 3] = torch.arange(1.0, 4).view(3, 1, 1)  # a score tells them apart
    clip = SkeletonSequence.from_bodies(bodies)
    assert torch.equal(SelectBodies(2)(clip).bodies, bodies[:2])


def test_nobody_at_all_keeps_one_body() -> None:
    clip = SkeletonSequence.from_bodies(torch.zeros(3, 4, 25, 3))
    assert SelectBodies()(clip).bodies.shape == (1, 4, 25, 3)


def test_by_score() -> None:
    clip = crowd("coco17", 17)
    clip.x[..., 2] = torch.tensor([0, 0.2, 0.1, 0.9, 0.8]).repeat_interleave(9)[:, None]
    assert torch.equal(SelectBodies(2, by="score")(clip).bodies, clip.bodies[[3, 4]])


def test_errors() -> None:
    with pytest.raises(ValueError, match="num must be at least 1"):
        SelectBodies(0)
    with pytest.raises(ValueError, match="unknown criterion 'size'; known are motion, score"):
        SelectBodies(by="size")
    with pytest.raises(ValueError, match="more than 3 channels, this one has 3; "):
        SelectBodies(by="score")(crowd())
