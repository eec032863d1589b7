from __future__ import annotations

import pytest
import torch

from pyg_fsar.data import EmbeddedClips
from pyg_fsar.matching import (
    DTW,
    CosineCost,
    EuclideanCost,
    LowerBounds,
    Matcher,
    MotionMatcher,
    NearestSearch,
    build_matcher,
)

MATCHERS = {
    "motion": lambda: MotionMatcher("body15"),
    "motion, images of all": lambda: MotionMatcher("body15", mirror_gap=0.0, mirror_factor=1.0),
    "motion, images of none": lambda: MotionMatcher("body15", mirror_gap=99.0),
    "motion, no images": lambda: MotionMatcher(),
    "euclidean": lambda: Matcher(EuclideanCost(), DTW(), shots="nearest"),
    "cosine, band": lambda: Matcher(CosineCost(), DTW(band=3), shots="nearest"),
}


def clips(count, seed, ragged, frames=12):
    """Smooth courses about few prototypes, so that some are near and others far."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.randn(9, 4, 15 * 6, generator=torch.Generator().manual_seed(99))
    base = centre[torch.arange(count) % 9] + 0.5 * torch.randn(count, 4, 90, generator=generator)
    time = torch.linspace(0, 3, frames)[:, None] * torch.arange(1, 5) + torch.arange(4)
    x = (time.sin() @ base).unflatten(2, (15, 6))
    lengths = None
    if ragged:
        lengths = torch.randint(5, frames + 1, (count,), generator=generator)
        x[torch.arange(frames) >= lengths[:, None]] = torch.nan
    return EmbeddedClips(x, lengths)


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("name", MATCHERS)
@torch.no_grad()
def test_equals_the_matcher(name, ragged):
    matcher = MATCHERS[name]()
    support, query = clips(36, 0, ragged), clips(9, 1, ragged)
    support = support.with_y(torch.arange(36) % 12)
    search = NearestSearch(matcher, support, 12)
    support = support.with_x(support.x.nan_to_num(7.0))  # padding
    query = query.with_x(query.x.nan_to_num(7.0))
    expected = matcher.distances(
        support.x, support.y, query.x, support.lengths, query.lengths, n_way=12
    )
    torch.testing.assert_close(search.distances(query), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(search.nearest(query), expected.argmin(dim=1))
    limits = expected.quantile(0.1, dim=0)
    near = expected.masked_fill(expected > limits, torch.inf)
    numbers = near.argmin(dim=1).masked_fill(near.amin(dim=1) == torch.inf, -1)
    assert -1 in numbers and (numbers >= 0).any()
    assert torch.equal(search.nearest(query, limits), numbers)
    assert (search.nearest(query, torch.full((12,), -1.0)) == -1).all()


@pytest.mark.parametrize("name", MATCHERS)
@torch.no_grad()
def test_bounds_are_below_and_rise(name):
    matcher = MATCHERS[name]()
    support, query = clips(30, 0, False), clips(6, 1, False)
    frames = matcher.frames if isinstance(matcher, MotionMatcher) else matcher
    exact = matcher.pair_distances(query, support)
    previous = torch.full_like(exact, -torch.inf)
    for directions in (1, 4, 90):
        bounds = LowerBounds(frames.aligner, matcher.bound_terms(support), directions)
        found = [
            bounds.of_frames(matcher.bound_terms(query[[n]]), torch.arange(30)) for n in range(6)
        ]
        found = torch.stack(found)
        assert (found <= exact).all()
        assert (found >= previous - 1e-3 * exact).all()
        previous = found
        first = torch.stack([bounds.of_vectors(matcher.bound_terms(query[[n]])) for n in range(6)])
        assert (first <= found + bounds.slack).all()
    torch.testing.assert_close(found, exact, rtol=2e-3, atol=2 * bounds.slack)  # all directions


@torch.no_grad()
def test_most_clips_are_left_out():
    """Of the far ones no alignment is computed."""
    compared = []

    class Counting(DTW):
        def __call__(self, cost, lengths=None):
            compared.append(cost[..., 0, 0].numel())
            return super().__call__(cost, lengths)

    matcher = Matcher(EuclideanCost(), DTW(), shots="nearest")
    support = clips(1200, 0, False).with_y(torch.arange(1200))
    search = NearestSearch(matcher, support, 1200)
    matcher.aligner = Counting()
    search.nearest(clips(5, 1, False))
    assert sum(compared) < 0.25 * 5 * 1200


def test_still_and_equal_clips():
    x = torch.zeros(4, 5, 15, 6)
    x[2:] = clips(1, 0, False, frames=5).x
    for name in ("motion", "cosine, band", "euclidean"):
        matcher = MATCHERS[name]()
        search = NearestSearch(matcher, EmbeddedClips(x, y=torch.tensor([1, 0, 2, 3])), 4)
        # The first of equally near classes, as argmin takes it.
        assert search.nearest(EmbeddedClips(x))[2:].tolist() == [2, 2]
        assert torch.isfinite(search.distances(EmbeddedClips(x))).all()


@pytest.mark.parametrize(
    "matcher",
    [
        build_matcher("soft_dtw", shots="nearest"),
        build_matcher("dtw", shots="mean"),
        build_matcher("dtw", shots="nearest", divergence=True),
        build_matcher("protonet"),
        Matcher(EuclideanCost(squared=False), DTW(), shots="nearest"),
        torch.nn.Identity(),
    ],
)
def test_refuses_matchers_without_bounds(matcher):
    support = clips(4, 0, False).with_y(torch.arange(4))
    assert not NearestSearch.suits(matcher, support)
    with pytest.raises(TypeError, match="has no lower bounds"):
        NearestSearch(matcher, support, 4)


def test_refuses_no_directions():
    matcher = MATCHERS["euclidean"]()
    with pytest.raises(ValueError, match="num_directions must be at least 1"):
        LowerBounds(DTW(), matcher.bound_terms(clips(4, 0, False)), 0)
