from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.testing import assert_transform

Transform = Callable[[SkeletonSequence], SkeletonSequence]


def jitter(clip: SkeletonSequence) -> SkeletonSequence:
    return clip.with_bodies(clip.bodies + torch.randn_like(clip.bodies))


def in_place(clip: SkeletonSequence) -> SkeletonSequence:
    clip.x += 1
    return clip


def renamed(clip: SkeletonSequence) -> SkeletonSequence:
    clip = clip.with_bodies(clip.bodies)
    clip.name = "other"
    return clip


def test_accepts_a_good_one_and_leaves_the_generator_alone() -> None:
    state = torch.get_rng_state()
    assert_transform(
        jitter, SkeletonSequence.from_bodies(torch.ones(1, 4, 17, 2), skeleton="coco17")
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert_transform(jitter)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (in_place, "changes its input"),
        (lambda clip: clip.bodies, "no clip"),
        (lambda clip: clip.with_bodies(clip.bodies + random.random()), "same seed"),
        (renamed, "changes 'name'"),
        (lambda clip: clip.with_bodies(clip.bodies[:, :0]), "no frames"),
        (lambda clip: clip.with_bodies(clip.bodies[:, :, :20]), "20 joints"),
        (lambda clip: clip.with_bodies(clip.bodies * torch.inf), "NaN or infinite"),
    ],
)
def test_tells_what_is_wrong(transform: Transform, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_transform(transform)
