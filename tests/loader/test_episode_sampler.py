# ruff: noqa: NPY002 (the legacy generators are what must not change)
from __future__ import annotations

import numpy as np
import pytest
import torch

from pyg_fsar.loader import EpisodeSampler

LABELS = [label for label in (3, 0, 7, 5, 2, 9) for _ in range(8)]


def sampler(labels=LABELS, n_way=3, k_shot=2, n_query=4, num_episodes=10, seed=1, **kwargs):
    return EpisodeSampler(labels, n_way, k_shot, n_query, num_episodes, seed, **kwargs)


def test_episode_is_class_major_support_then_query_without_overlap() -> None:
    episodes = list(sampler())
    assert len(episodes) == len(sampler()) == 10
    for clips in episodes:
        assert all(type(clip) is int for clip in clips)
        assert len(set(clips)) == len(clips) == 3 * (2 + 4)
        labels = np.array(LABELS)[clips]
        support, query = labels[:6].reshape(3, 2), labels[6:].reshape(3, 4)
        assert len(set(support[:, 0])) == 3
        assert (support == support[:, :1]).all() and (query == support[:, :1]).all()


def test_all_classes_and_clips_are_drawn_equally_often() -> None:
    counts = np.bincount(np.concatenate(list(sampler(num_episodes=2000))), minlength=len(LABELS))
    expected = counts.sum() / len(LABELS)
    assert np.abs(counts / expected - 1).max() < 0.15


@pytest.mark.parametrize("num_episodes", [1, 2, 10, 12])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ranks_share_the_same_episodes(world_size: int, num_episodes: int) -> None:
    alone = list(sampler(num_episodes=num_episodes))
    shared = [None] * num_episodes
    for rank in range(world_size):
        mine = sampler(num_episodes=num_episodes, rank=rank, world_size=world_size)
        episodes = list(mine)
        assert len(mine) == len(episodes)
        shared[rank::world_size] = episodes
    assert shared == alone


def test_episode_depends_on_seed_epoch_and_number_alone() -> None:
    first = sampler()
    assert list(first) == list(first)
    # neither how many episodes there are nor which were drawn before matters
    assert list(sampler(num_episodes=25))[:10] == list(first)
    first.set_epoch(4)
    fifth = list(first)
    assert fifth != list(sampler()) and list(sampler(seed=2)) != list(sampler())
    fresh = sampler()
    fresh.set_epoch(4)
    assert list(fresh) == fifth
    assert len({tuple(clips) for clips in [*fifth, *sampler()]}) == 20


def test_an_epoch_begun_is_finished() -> None:
    drawn = sampler()
    episodes = iter(drawn)
    clips = [next(episodes)]
    drawn.set_epoch(1)
    assert clips + list(episodes) == list(sampler())


def test_global_random_state_is_neither_used_nor_changed() -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()
    first = list(sampler())
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state[1])
    torch.manual_seed(99)
    np.random.seed(99)
    assert list(sampler()) == first


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_labels_of_any_kind(kind) -> None:
    assert list(sampler(kind(LABELS))) == list(sampler())


def test_a_class_with_exactly_enough_clips_is_enough() -> None:
    assert len(list(sampler(k_shot=4, n_query=4))) == 10


def test_small_class_is_named_with_the_cure() -> None:
    labels = [*LABELS, 4, 4, 4]
    with pytest.raises(ValueError, match=r"class 4 has 3 clips, .* need 6 .* smaller k_shot"):
        sampler(labels)
    with pytest.raises(ValueError, match=r"class 4 has 3 clips \(so do 1 other"):
        sampler([*labels, 8])


def test_too_few_classes() -> None:
    with pytest.raises(ValueError, match=r"7-way .* only 6; choose a smaller n_way"):
        sampler(n_way=7)
    with pytest.raises(ValueError, match="only 0"):
        sampler(labels=[])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_way": 0}, "n_way must be at least 1"),
        ({"k_shot": 0}, "k_shot must be at least 1"),
        ({"n_query": 0}, "n_query must be at least 1"),
        ({"num_episodes": 0}, "num_episodes must be at least 1"),
        ({"seed": -1}, "seed must not be negative"),
        ({"rank": 2, "world_size": 2}, r"rank must be in 0\.\.1"),
        ({"rank": -1}, "rank must be in"),
        ({"labels": [[0, 1]]}, r"one class per clip, got shape \(1, 2\)"),
    ],
)
def test_bad_arguments(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sampler(**wrong)


def test_sources_share_the_classes_of_an_episode_equally():
    # 8 classes of one source, 4 of another, 2 of a third; 3 clips each.
    labels, source = np.arange(14).repeat(3), np.array([0] * 8 + [1] * 4 + [2] * 2)
    sampler = EpisodeSampler(labels, 7, 1, 2, 400, seed=0, sources=source.repeat(3))
    counts = np.zeros((400, 3))
    for number, clips in enumerate(sampler):
        ways = labels[clips[:7]]
        assert len(set(ways)) == 7
        counts[number] = np.bincount(source[ways], minlength=3)
    assert (counts[:, 2] == 2).all()
    assert ((counts[:, :2] == 2) | (counts[:, :2] == 3)).all()
    assert 0.4 < (counts[:, 0] == 3).mean() < 0.6  # who gives one more changes
    again = EpisodeSampler(labels, 7, 1, 2, 400, 0, 1, 2, sources=source.repeat(3))
    assert list(again) == list(sampler)[1::2]


def test_sources_within_a_class():
    labels = np.arange(6).repeat(3)
    with pytest.raises(ValueError, match="the same for all clips of a class"):
        EpisodeSampler(labels, 2, 1, 1, 1, 0, sources=np.arange(18) % 2)
    with pytest.raises(ValueError, match="one number per clip, 18, got"):
        EpisodeSampler(labels, 2, 1, 1, 1, 0, sources=[0, 1])
