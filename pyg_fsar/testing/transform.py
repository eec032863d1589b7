"""The contract of transforms."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.skeleton import Skeleton

__all__ = ["assert_transform"]


def assert_transform(
    transform: Callable[[SkeletonSequence], SkeletonSequence],
    clip: SkeletonSequence | None = None,
) -> None:
    """Assert that a transform of clips keeps the contract that datasets and loaders rely on.

    It must not modify its input; must return a valid clip with finite values and the joints of its
    layout; must keep label and name; and must draw random numbers from torch's global generator
    only, so that one seed gives one result.

    Args:
        transform: The transform.
        clip: A clip to try it on; random, of two bodies of ``ntu25``, if not given.

    Raises:
        AssertionError: If it does not satisfy one of these, telling which.
    """
    if clip is None:
        clip = SkeletonSequence.from_bodies(torch.randn(2, 12, 25, 3), y=1, name="random")
    before = copy.deepcopy(clip)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = transform(clip)
        torch.manual_seed(0)
        second = transform(clip)

    _assert_equal(clip, before, "the transform changes its input")
    assert isinstance(first, SkeletonSequence), f"the result is a {type(first).__name__}, no clip"
    _assert_equal(first, second, "the same seed gives different results")
    for key in ("y", "name"):
        if key in clip:
            assert key in first and first[key] == clip[key], f"the transform changes '{key}'"
    assert first.x.dim() == 3 and first.x.numel() > 0, f"no frames: shape {list(first.x.shape)}"
    assert first.x.size(0) % int(first.num_bodies) == 0, (
        f"{first.x.size(0)} frames do not divide among num_bodies={first.num_bodies}"
    )
    layout = Skeleton.get(first.skeleton)
    assert first.x.size(1) == layout.num_joints, (
        f"{first.x.size(1)} joints, but '{layout.name}' has {layout.num_joints}"
    )
    assert first.x.isfinite().all(), "the result has values that are NaN or infinite"


def _assert_equal(one: SkeletonSequence, other: SkeletonSequence, meaning: str) -> None:
    assert set(one.keys()) == set(other.keys()), f"{meaning}: {one.keys()} and {other.keys()}"
    for key in one.keys():  # noqa: SIM118 (a Data iterates over pairs)
        a, b = one[key], other[key]
        if isinstance(a, torch.Tensor):
            same = a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all())
        else:
            same = a == b
        assert same, f"{meaning}: '{key}' differs"
