# ruff: noqa: NPY002 (the legacy generators are what must not change)
from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch_geometric.transforms import BaseTransform, Compose

from pyg_fsar.data import Episode, SkeletonSequence
from pyg_fsar.datasets import SkeletonArrays
from pyg_fsar.loader import EpisodeLoader
from pyg_fsar.transforms import RandomRotate, ResampleFrames


def make_clips(num_classes: int = 5, per_class: int = 6) -> list[SkeletonSequence]:
    generator = torch.Generator().manual_seed(3)
    return [
        SkeletonSequence.from_bodies(
            torch.rand(1 + number % 2, 4 + number % 3, 20, 3, generator=generator),
            y=10 * label,
            skeleton="kinect20",
        )
        for label in range(num_classes)
        for number in range(per_class)
    ]


class Noise(BaseTransform):
    """Draws from all three generators that a transform may use."""

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        shift = torch.rand(()) + random.random() + np.random.rand()
        return clip.with_bodies(clip.bodies + shift)


class NoisyClips:
    """A dataset with random transforms, read in one go."""

    def __init__(self) -> None:
        self.clips = make_clips()
        self.labels = torch.tensor([clip.y for clip in self.clips])

    def __getitems__(self, numbers: list[int]) -> list[SkeletonSequence]:
        return [Noise()(self.clips[number]) for number in numbers]


def loader(dataset=None, n_way=3, k_shot=1, n_query=2, num_episodes=6, **kwargs) -> EpisodeLoader:
    return EpisodeLoader(
        NoisyClips() if dataset is None else dataset, n_way, k_shot, n_query, num_episodes, **kwargs
    )


def same(a: Episode, b: Episode) -> bool:
    names = ("bodies", "body_to_clip", "lengths", "support_y", "query_y", "classes")
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in names)


def assert_same(some: list[Episode], others: list[Episode]) -> None:
    assert len(some) == len(others)
    assert all(same(a, b) for a, b in zip(some, others, strict=True))


def test_episodes_hold_the_clips_that_the_sampler_drew() -> None:
    clips = make_clips()
    loaded = loader(clips)
    for numbers, episode in zip(loaded.sampler, loaded, strict=True):
        assert episode.skeleton == "kinect20"
        assert episode.support_y.tolist() == [0, 1, 2]
        assert episode.query_y.tolist() == [0, 0, 1, 1, 2, 2]
        for position, number in enumerate(numbers):
            assert torch.equal(episode.clip(position).bodies, clips[number].bodies)
            assert episode.clip(position).y == clips[number].y


def test_clips_of_a_list_are_read_with_or_without_labels_attribute() -> None:
    class Labelled(list):
        @property
        def labels(self) -> np.ndarray:
            return np.array([clip.y for clip in self])

    assert_same(list(loader(Labelled(make_clips()))), list(loader(make_clips())))


def test_epochs_differ_and_repeat() -> None:
    epochs = loader()
    first = list(epochs)
    assert_same(list(epochs), first)
    epochs.set_epoch(1)
    second = list(epochs)
    assert not any(same(a, b) for a, b in zip(first, second, strict=True))
    epochs.set_epoch(0)
    assert_same(list(epochs), first)
    assert not same(next(iter(loader(seed=1))), first[0])


@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_change_nothing(num_workers: int) -> None:
    alone, helped = loader(), loader(num_workers=num_workers, persistent_workers=True)
    for epoch in (0, 3):
        alone.set_epoch(epoch)
        helped.set_epoch(epoch)
        assert_same(list(helped), list(alone))


def make_dataset() -> SkeletonArrays:
    clips = make_clips()
    return SkeletonArrays(
        [clip.bodies for clip in clips],
        [clip.y for clip in clips],
        skeleton="kinect20",
        transform=Compose([ResampleFrames(3), RandomRotate(30)]),
    )


def test_spawned_worker_changes_nothing() -> None:
    dataset = make_dataset()
    spawned = loader(dataset, num_workers=1, multiprocessing_context="spawn")
    assert_same(list(spawned), list(loader(dataset)))


def test_views_of_a_dataset() -> None:
    dataset = make_dataset()
    view = dataset[6:]  # without the first class
    assert {int(label) for episode in loader(view) for label in episode.classes} == {10, 20, 30, 40}
    episode = next(iter(loader(view)))
    assert episode.bodies.shape[1:] == (3, 20, 3)


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_ranks_change_nothing(world_size: int, num_workers: int) -> None:
    shared: list = [None] * 6
    for rank in range(world_size):
        mine = loader(rank=rank, world_size=world_size, num_workers=num_workers)
        assert len(mine) == 6 // world_size
        shared[rank::world_size] = list(mine)
    assert_same(shared, list(loader()))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_global_random_state_is_neither_used_nor_changed(num_workers: int) -> None:
    def states() -> list:
        return [torch.get_rng_state().tolist(), random.getstate(), list(np.random.get_state()[1])]

    before = states()
    first = list(loader(num_workers=num_workers))
    assert states() == before
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    assert_same(list(loader(num_workers=num_workers)), first)


def test_random_state_is_restored_after_an_error() -> None:
    class Broken(NoisyClips):
        def __getitems__(self, numbers: list[int]) -> list[SkeletonSequence]:
            super().__getitems__(numbers)
            raise OSError("disk gone")

    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    with pytest.raises(OSError, match="disk gone"):
        next(iter(loader(Broken())))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.array_equal(np.random.get_state()[1], before[2])


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set")
def test_pin_memory() -> None:
    pinned = list(loader(pin_memory=True))
    assert_same(pinned, list(loader()))
    assert pinned[0].bodies.is_pinned() == torch.cuda.is_available()


def test_clip_without_label_is_named() -> None:
    clips = make_clips()
    del clips[7].y
    with pytest.raises(ValueError, match=r"clip 7 .* no label; .*y=label"):
        loader(clips)


def test_what_the_sampler_refuses_is_refused() -> None:
    with pytest.raises(ValueError, match="class 0 has 6 clips"):
        loader(n_query=6)
