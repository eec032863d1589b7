from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pyg_fsar import FewShotModel
from pyg_fsar.data import EmbeddedClips, Episode
from pyg_fsar.matching import MultiStreamMatcher, UncertainCost, build_matcher

GAMMA = 0.5


def clips(count, frames=4):
    return torch.randn(count, frames, 6, 3, dtype=torch.float64)


@pytest.fixture
def matcher():
    matcher = build_matcher("udtw", channels=3, gamma=GAMMA, shots="average", beta=0.3).double()
    for weight in matcher.parameters():
        nn.init.normal_(weight)
    return matcher


def by_hand(matcher, x, y):
    """Distance and expected log variance of one pair, by a sum over all paths."""
    linear = matcher.cost.weight

    def variance(frame):
        return 0.5 + 1.5 * torch.sigmoid(linear(frame).mean())

    total = [[variance(a) + variance(b) for b in y] for a in x]
    cost = [
        [(a - b).square().sum() / total[i][j] for j, b in enumerate(y)] for i, a in enumerate(x)
    ]

    def paths(i, j):
        if (i, j) == (0, 0):
            return [[(0, 0)]]
        before = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        return [[*p, (i, j)] for a, b in before if a >= 0 and b >= 0 for p in paths(a, b)]

    every = paths(len(x) - 1, len(y) - 1)
    costs = torch.stack([sum(cost[i][j] for i, j in path) for path in every])
    logs = torch.stack([sum(total[i][j].log() for i, j in path) for path in every])
    distance = -GAMMA * torch.logsumexp(-costs / GAMMA, dim=0)
    return distance, ((-costs / GAMMA).softmax(dim=0).detach() * logs).sum()


@pytest.mark.parametrize("ragged", [False, True])
def test_equals_the_sum_over_all_paths(matcher, ragged):
    support, query = clips(2), clips(3)
    m = torch.tensor([4, 2]) if ragged else None
    n = torch.tensor([3, 4, 1]) if ragged else None
    supports, queries = EmbeddedClips(support, m, torch.arange(2)), EmbeddedClips(query, n)
    pairs = [
        [by_hand(matcher, queries.clip(q), supports.clip(s)) for s in range(2)] for q in range(3)
    ]
    support, query = support.clone(), query.clone()
    for several, lengths in ((support, m), (query, n)):
        for clip, length in zip(several, [4] * 3 if lengths is None else lengths, strict=False):
            clip[length:] = 1e3  # is never read
    supports, queries = supports.with_x(support), queries.with_x(query)
    distances = matcher.distances(support, torch.arange(2), query, m, n)
    expected = torch.stack([torch.stack([pair[0] for pair in row]) for row in pairs])
    torch.testing.assert_close(distances, expected)
    penalty = matcher.pair_penalty(supports, queries, 2)
    means = torch.stack([pair[1] for row in pairs for pair in row]).mean()
    torch.testing.assert_close(penalty, 0.3 * means)
    weights = list(matcher.parameters())
    for one, other in zip(
        torch.autograd.grad(distances.sum() + penalty, weights),
        torch.autograd.grad(expected.sum() + 0.3 * means, weights),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


@pytest.fixture
def episode():
    return Episode(
        clips(5), torch.arange(5), torch.full((5,), 4), torch.arange(2), torch.tensor([0, 1, 0]),
        torch.arange(2),
    )  # fmt: skip


def test_the_model_has_its_penalty_in_training_alone(matcher, episode):
    model = FewShotModel(nn.Identity(), matcher)
    support, query = model.embed(episode).split([2, 3])
    support = support.with_y(torch.arange(2))
    assert model(episode).penalty == matcher.pair_penalty(support, query, 2) != 0
    assert model.eval()(episode).penalty == 0

    class One(nn.Module):
        def forward(self, x):
            return x.new_ones(())

    both = FewShotModel(nn.Identity(), matcher, One()).train()
    torch.testing.assert_close(both(episode).penalty, model.train()(episode).penalty + 2)
    streams = MultiStreamMatcher(matcher, 2).double()
    twice = [e.with_x(torch.cat([e.x, e.x], dim=-1)) for e in (support, query)]
    torch.testing.assert_close(streams.pair_penalty(*twice, 2), 2 * model(episode).penalty)


@pytest.mark.parametrize("options", [{}, {"activation": True, "channels": 3}])
def test_its_cost_is_not_trained_without_the_penalty(episode, options):
    other = build_matcher("dtw", cost=UncertainCost(3), **options).double()
    for matcher in (other, build_matcher("mixture", matchers=(other,)).double()):
        model = FewShotModel(nn.Identity(), matcher).train()
        with pytest.raises(ValueError, match=r"UncertainCost cannot be trained in Matcher, .*udtw"):
            model(episode)
        assert model.eval()(episode).logits.isfinite().all()
    other.requires_grad_(False)
    assert model.train()(episode).penalty == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"least": 0.0}, "variances need 0 < least < most"),
        ({"least": 2.0, "most": 1.0}, "variances need 0 < least < most"),
        ({"beta": -1.0}, "beta must be 0 or more and finite"),
        ({"beta": math.nan}, "beta must be 0 or more and finite"),
        ({"gamma": 0.0}, "gamma must be a positive number"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        build_matcher("udtw", **options)
