"""From a dataset to episodes, ready for the model."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from pyg_fsar.data import Episode, SkeletonSequence, gather_clips, labels_of, sources_of
from pyg_fsar.loader.episode_sampler import EpisodeSampler

__all__ = ["EpisodeLoader"]


class EpisodeLoader(DataLoader):
    r"""Loads the episodes that an :class:`EpisodeSampler` draws.

    An episode, including its random transforms, depends on ``(seed, epoch, episode)`` alone, not on
    the number of workers or ranks, and leaves the global random state unchanged.

    Args:
        dataset: A dataset of this package, or any sequence of labelled
            :class:`~pyg_fsar.data.SkeletonSequence`. If it has ``__getitems__``, an episode's
            clips are read with one call. If it tells the ``sources`` of its clips, as
            :class:`~pyg_fsar.datasets.JoinedDatasets` does, they are balanced.
        n_way: Number of classes of an episode.
        k_shot: Number of support clips of a class.
        n_query: Number of query clips of a class.
        num_episodes: Number of episodes of an epoch, over all ranks.
        seed: Seed, not negative.
        rank: Number of this process.
        world_size: Number of processes.
        **kwargs: Further arguments of :class:`torch.utils.data.DataLoader`, such as
            ``num_workers``, ``persistent_workers`` or ``pin_memory``.

    Raises:
        ValueError: If a clip has no label, or for what :class:`EpisodeSampler` refuses.

    .. note::
        A loader wrapped by ``Fabric.setup_dataloaders`` counts its own iterations and calls
        ``set_epoch`` with that number, which is wrong after a resume. Shard with ``rank`` and
        ``world_size`` and move episodes with ``Fabric.to_device`` instead.

    Example:
        >>> dataset = FakeSkeletonDataset("ntu25", clips_per_class=4)
        >>> loader = EpisodeLoader(dataset, n_way=5, k_shot=1, n_query=2, num_episodes=3)
        >>> for epoch in range(2):
        ...     loader.set_epoch(epoch)
        ...     for episode in loader:
        ...         assert len(episode.query_y) == 10
    """

    def __init__(
        self,
        dataset: Dataset | Sequence[SkeletonSequence],
        n_way: int = 5,
        k_shot: int = 1,
        n_query: int = 10,
        num_episodes: int = 1000,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        **kwargs: Any,
    ) -> None:
        sampler = EpisodeSampler(
            labels_of(dataset), n_way, k_shot, n_query, num_episodes, seed, rank, world_size,
            sources_of(dataset),
        )  # fmt: skip
        # Without its own generator, a loader draws from the global one at every iteration.
        kwargs.setdefault("generator", torch.Generator())
        super().__init__(
            _Episodes(dataset, n_way * k_shot, seed),  # type: ignore[arg-type]
            sampler=sampler,
            batch_size=None,
            **kwargs,
        )

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose episodes the next iteration loads."""
        self.sampler.set_epoch(epoch)  # type: ignore[attr-defined]


class _Episodes:
    """Maps a list of clip numbers to their episode."""

    def __init__(
        self, dataset: Dataset | Sequence[SkeletonSequence], num_support: int, seed: int
    ) -> None:
        self.dataset, self.num_support, self.seed = dataset, num_support, seed

    def __getitem__(self, numbers: list[int]) -> Episode:
        # Workers know neither epoch nor episode number, but both determine the clips drawn.
        seed = int(np.random.SeedSequence((self.seed, *numbers)).generate_state(1)[0])
        with _seeded(seed):
            clips = gather_clips(self.dataset, numbers)
        return Episode.from_clips(clips[: self.num_support], clips[self.num_support :])


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global CPU generators of torch, NumPy and Python, and restore them afterwards."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=()):
            # torch.manual_seed would reset the generators of all devices, too.
            torch.default_generator.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
