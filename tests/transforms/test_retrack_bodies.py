from __future__ import annotations

import torch

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import RetrackBodies


def two_people() -> torch.Tensor:
    pose = torch.rand(25, 3, generator=torch.Generator().manual_seed(0))
    shift = torch.zeros(2, 30, 1, 3)
    shift[0, :, 0, 0] = torch.linspace(0, 1, 30)
    shift[1, :, 0, 0] = torch.linspace(3, 2.5, 30)
    return pose + shift


def test_swaps_are_mended() -> None:
    truth = two_people()
    truth[1, 20:22] = 0  # hidden for a moment
    swapped = truth.clone()
    swapped[:, 12:17] = truth.flip(0)[:, 12:17]
    swapped[:, 25:] = truth.flip(0)[:, 25:]
    clip = RetrackBodies()(SkeletonSequence.from_bodies(swapped, y=3))
    torch.testing.assert_close(clip.bodies, truth)
    assert clip.y == 3


def test_a_gap_too_long_makes_another_body_and_loses_nothing() -> None:
    truth = two_people()
    truth[1, 8:24] = 0
    clip = RetrackBodies(max_gap=10)(SkeletonSequence.from_bodies(truth))
    assert clip.num_bodies == 3
    torch.testing.assert_close(clip.bodies.sum(dim=0), truth.sum(dim=0))


def test_one_body_and_none() -> None:
    body = two_people()[:1]
    assert torch.equal(RetrackBodies()(SkeletonSequence.from_bodies(body)).bodies, body)
    nobody = torch.zeros(2, 5, 25, 3)
    assert torch.equal(RetrackBodies()(SkeletonSequence.from_bodies(nobody)).bodies, nobody)
