"""Which clips make an episode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor
from torch.utils.data import Sampler

__all__ = ["EpisodeSampler"]


class EpisodeSampler(Sampler[list[int]]):
    r"""Draws N-way K-shot episodes as lists of clip numbers.

    Each list holds the ``n_way * k_shot`` support clips, class by class, and then the
    ``n_way * n_query`` query clips, class by class. Classes of an episode are distinct, and so are
    its clips.

    Episode ``i`` of epoch ``e`` depends on ``(seed, e, i)`` alone, so any number of ranks together
    see the same episodes: rank ``r`` yields ``i = r, r + world_size, ...``. The epoch only changes
    through :meth:`set_epoch`; without it every iteration gives the same episodes.

    Args:
        labels: Class of each clip of the dataset.
        n_way: Number of classes of an episode.
        k_shot: Number of support clips of a class.
        n_query: Number of query clips of a class.
        num_episodes: Number of episodes of an epoch, over all ranks.
        seed: Seed, not negative.
        rank: Number of this process.
        world_size: Number of processes. Where it does not divide ``num_episodes``, the first
            ranks yield one episode more than the others.
        sources: Number of the dataset that each clip comes from. The classes of an episode are then
            divided equally among datasets, in an order that changes from episode to episode where
            they do not divide; what one has too few of, the others give. Without it every class is
            as likely as any other.

    Raises:
        ValueError: If an argument is out of range, there are fewer than ``n_way`` classes, a class
            has fewer than ``k_shot + n_query`` clips, or comes from two sources.

    Example:
        >>> sampler = EpisodeSampler([0, 0, 1, 1, 2, 2], 2, 1, 1, num_episodes=5, seed=0)
        >>> [len(clips) for clips in sampler]
        [4, 4, 4, 4, 4]
    """

    def __init__(
        self,
        labels: Sequence[int] | np.ndarray | Tensor,
        n_way: int,
        k_shot: int,
        n_query: int,
        num_episodes: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        sources: Sequence[int] | np.ndarray | Tensor | None = None,
    ) -> None:
        sizes = {"n_way": n_way, "k_shot": k_shot, "n_query": n_query, "num_episodes": num_episodes}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be in 0..{world_size - 1} (world_size - 1), got {rank}")
        self.n_way, self.k_shot, self.n_query = n_way, k_shot, n_query
        self.num_episodes, self.seed = num_episodes, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0
        self._clips_of_class = self._group(labels)
        self._source_of_class = None if sources is None else self._sources_of_classes(sources)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose episodes the next iteration draws."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._episode_numbers)

    def __iter__(self) -> Iterator[list[int]]:
        epoch = self.epoch  # set_epoch does not affect an iteration that has begun
        for episode in self._episode_numbers:
            yield self._draw(np.random.default_rng((self.seed, epoch, episode)))

    @property
    def _episode_numbers(self) -> range:
        return range(self.rank, self.num_episodes, self.world_size)

    def _draw(self, rng: np.random.Generator) -> list[int]:
        ways = self._draw_ways(rng)
        num_clips = self.k_shot + self.n_query
        clips = np.stack(
            [rng.choice(self._clips_of_class[way], num_clips, replace=False) for way in ways]
        )
        support, query = clips[:, : self.k_shot], clips[:, self.k_shot :]
        return [*support.ravel().tolist(), *query.ravel().tolist()]

    def _draw_ways(self, rng: np.random.Generator) -> np.ndarray:
        """Numbers of the classes of an episode."""
        if self._source_of_class is None:
            return rng.choice(len(self._clips_of_class), self.n_way, replace=False)
        # Each source deals out its classes in turn, in random order.
        order = rng.permutation(len(self._clips_of_class))
        rank = np.empty(len(order))
        for turn, source in enumerate(rng.permutation(np.unique(self._source_of_class))):
            own = self._source_of_class[order] == source
            rank[own] = np.arange(own.sum()) + turn / (1 + len(order))
        return order[np.argsort(rank)[: self.n_way]]

    def _sources_of_classes(self, sources: Sequence[int] | np.ndarray | Tensor) -> np.ndarray:
        array = np.asarray(sources.cpu() if isinstance(sources, Tensor) else sources)
        if array.shape != (num_clips := sum(map(len, self._clips_of_class)),):
            raise ValueError(f"sources must be one number per clip, {num_clips}, got {array.shape}")
        if any((array[clips] != array[clips[0]]).any() for clips in self._clips_of_class):
            raise ValueError("sources must be the same for all clips of a class")
        return np.array([array[clips[0]] for clips in self._clips_of_class])

    def _group(self, labels: Sequence[int] | np.ndarray | Tensor) -> list[np.ndarray]:
        array = np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels)
        if array.ndim != 1:
            raise ValueError(f"labels must be one class per clip, got shape {array.shape}")
        classes, counts = np.unique(array, return_counts=True)
        if len(classes) < self.n_way:
            raise ValueError(
                f"{self.n_way}-way episodes need {self.n_way} classes, but the labels have only "
                f"{len(classes)}; choose a smaller n_way or a split with more classes"
            )
        needed = self.k_shot + self.n_query
        small = {str(c): int(n) for c, n in zip(classes, counts, strict=True) if n < needed}
        if small:
            label, count = next(iter(small.items()))
            others = f" (so do {len(small) - 1} other classes)" if len(small) > 1 else ""
            raise ValueError(
                f"class {label} has {count} clips{others}, but {self.k_shot} support + "
                f"{self.n_query} query clips need {needed} of each class; choose a smaller k_shot "
                "or n_query, or leave the class out"
            )
        return np.split(np.argsort(array, kind="stable"), counts.cumsum()[:-1])
