from __future__ import annotations

import pytest
import torch

from pyg_fsar.matching import KoopmanMatcher, build_matcher


def test_equals_the_formula_clip_by_clip():
    torch.manual_seed(0)
    support, query = torch.randn(2, 6, 4, 3).double(), torch.randn(3, 5, 4, 3).double()
    matcher = build_matcher("koopman", rcond=0.5)
    expected = torch.empty(3, 2, dtype=torch.float64)
    for r, reference in enumerate(support):
        x = reference.mean(dim=1).T  # [C, T]
        K = x[:, 1:] @ torch.linalg.pinv(x[:, :-1], rcond=0.5)
        for q, clip in enumerate(query):
            z = clip.mean(dim=1).T
            expected[q, r] = (K @ z[:, :-1] - z[:, 1:]).norm(dim=0).mean()
    distances = matcher.distances(support, torch.arange(2), query)
    torch.testing.assert_close(distances, expected)


def test_clips_with_the_same_dynamics_are_near():
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]])
    states = [torch.randn(2)]
    for _ in range(11):
        states.append(turn @ states[-1])
    rotating = torch.stack(states)[:, None]  # [T, 1, 2]
    support = torch.stack([rotating[:6], torch.randn(6, 1, 2)])
    distances = build_matcher("koopman", rcond=1e-3).distances(
        support, torch.arange(2), rotating[None, 6:]
    )
    assert distances[0, 0] < 1e-4 < distances[0, 1]


def test_padding_does_not_count():
    support, query = torch.randn(4, 6, 3, 2).double(), torch.randn(2, 6, 3, 2).double()
    y, n, m = torch.tensor([0, 1, 0, 1]), torch.tensor([6, 3, 4, 5]), torch.tensor([6, 3])
    matcher = build_matcher("koopman")
    expected = torch.stack(
        [
            torch.stack([
                matcher.distances(s[None, :a], torch.zeros(1).long(), q[None, :b])[0, 0]
                for s, a in zip(support, n, strict=True)
            ])
            for q, b in zip(query, m, strict=True)
        ]
    )  # fmt: skip
    expected = torch.stack([expected[:, y == k].mean(dim=1) for k in (0, 1)], dim=1)
    for value in (100, torch.nan, torch.inf):
        for clip, length in [*zip(support, n, strict=True), *zip(query, m, strict=True)]:
            clip[length:] = value
        torch.testing.assert_close(matcher.distances(support, y, query, n, m), expected)


def test_a_learned_map_comes_first():
    matcher = KoopmanMatcher(channels=5, project=2, learn_scale=True)
    support, query = torch.randn(2, 6, 4, 5), torch.randn(3, 6, 4, 5)
    matcher(support, torch.arange(2), query).sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in matcher.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rcond": 0.0}, "rcond must lie between 0 and 1, got 0.0"),
        ({"rcond": 1.0}, "rcond must lie between 0 and 1"),
        ({"shots": "most"}, "shots must be one of mean"),
        ({"scale": -1.0}, "scale must be a positive number"),
        ({"project": 0}, "project must be at least 1, got 0"),
        ({"project": 2, "channels": -1}, "channels must be at least 1, got -1"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        build_matcher("koopman", **options)


def test_one_frame_has_no_dynamics():
    with pytest.raises(ValueError, match="at least two frames, got 1"):
        build_matcher("koopman")(torch.randn(2, 1, 3, 4), torch.arange(2), torch.randn(1, 1, 3, 4))
    clips = torch.randn(2, 3, 3, 4)
    with pytest.raises(ValueError, match="at least two frames, got 1"):
        build_matcher("koopman")(clips, torch.arange(2), clips, query_lengths=torch.tensor([3, 1]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_a_learned_map_takes_any_precision(dtype):
    matcher, clips = KoopmanMatcher(channels=4, project=2), torch.randn(2, 5, 3, 4)
    expected = matcher.distances(clips, torch.arange(2), clips)
    found = matcher.distances(clips.to(dtype), torch.arange(2), clips.to(dtype))
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.01)
    assert matcher.half()(clips, torch.arange(2), clips).dtype == torch.float32


def test_a_learned_map_is_for_its_channels():
    clips = torch.randn(2, 5, 3, 4)
    with pytest.raises(ValueError, match="made for joints of 256 channels, got 4"):
        KoopmanMatcher(project=2)(clips, torch.arange(2), clips)
