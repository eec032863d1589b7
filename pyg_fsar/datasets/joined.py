"""Several datasets as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from pyg_fsar.data import SkeletonSequence, class_names_of, gather_clips, labels_of
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.transforms import RandomMirror

__all__ = ["JoinedDatasets"]

MIRROR = RandomMirror(1.0)


class JoinedDatasets(Dataset):
    r"""Several datasets as one, in which each class is known by its dataset and its name there.

    So "wave" of two datasets are two classes, as different people, sensors and instructions make
    them. The loader divides the classes of an episode equally among the datasets, so that a small
    one counts as much as a large one.

    Args:
        datasets: Datasets of labelled clips by name, each with transforms that take its clips to
            one layout.
        mirrored: Add the mirror image of every clip. The images of a class are a class of their
            own, for what the right hand does is not what the left hand does. A clip is mirrored
            after its transforms, at x = 0.

    Attributes:
        labels: Class of each clip, numbered without gaps, ``[len(self)]`` int64.
        sources: Number of the dataset of each clip, ``[len(self)]`` int64.
        class_names: Such as ``"utd: swipe left"`` and ``"utd: swipe left, mirrored"``.
        skeleton: Layout of the clips.

    Raises:
        ValueError: If there is no dataset, one is empty, or their clips differ in layout or in
            the number of coordinates.

    Example:
        >>> parts = {"a": FakeSkeletonDataset("ntu25"), "b": FakeSkeletonDataset("ntu25", seed=1)}
        >>> joined = JoinedDatasets(parts, mirrored=True)
        >>> len(joined) == 2 * (len(parts["a"]) + len(parts["b"]))
        True
    """

    labels: Tensor
    sources: Tensor
    class_names: list[str]
    skeleton: Skeleton

    def __init__(self, datasets: Mapping[str, Any], mirrored: bool = False) -> None:
        if not isinstance(datasets, Mapping):
            raise ValueError(
                f"datasets must be a dict of datasets by name, got a {type(datasets).__name__}"
            )
        if not datasets:
            raise ValueError("there is no dataset to join; give at least one by its name")
        if empty := [name for name, data in datasets.items() if not len(data)]:
            raise ValueError(f"dataset '{empty[0]}' has no clip; leave it out")
        self.datasets, self.mirrored = dict(datasets), mirrored
        self._parts = list(self.datasets.values())
        labels, sources = [], []
        names: list[str] = []
        for number, (name, data) in enumerate(self.datasets.items()):
            present, own = labels_of(data).unique(return_inverse=True)
            labels.append(own + len(names))
            sources.append(torch.full_like(own, number))
            known = class_names_of(data)
            names += [f"{name}: {known[int(label)]}" for label in present]
        self._starts = torch.tensor([0, *map(len, labels)]).cumsum(0)
        self.labels, self.sources, self.class_names = torch.cat(labels), torch.cat(sources), names
        if mirrored:
            self.labels = torch.cat([self.labels, self.labels + len(names)])
            self.sources = self.sources.repeat(2)
            self.class_names = [*names, *(f"{name}, mirrored" for name in names)]
        with torch.random.fork_rng(devices=[]):  # transforms may be random
            firsts = {name: gather_clips(data, [0])[0] for name, data in datasets.items()}
        layouts = {name: clip.skeleton for name, clip in firsts.items()}
        if len(set(layouts.values())) > 1:
            raise ValueError(
                "joined datasets must have clips of one layout, got "
                + ", ".join(f"{layout} of {name}" for name, layout in list(layouts.items())[:5])
                + "; give each the transform MapJoints('body15')"
            )
        channels = {name: clip.x.size(-1) for name, clip in firsts.items()}
        if len(set(channels.values())) > 1:
            raise ValueError(
                "joined datasets must have joints of one size, got "
                + ", ".join(f"{size} of {name}" for name, size in list(channels.items())[:5])
                + "; bring 2D and 3D clips to one by a transform, such as AddDepth()"
            )
        self.skeleton = Skeleton.get(next(iter(layouts.values())))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> SkeletonSequence:
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[SkeletonSequence]:
        clips = []
        for number in numbers:
            if not -len(self) <= number < len(self):
                raise IndexError(f"clip {number} of {len(self)}")
            number = int(number) % len(self)
            original = number % int(self._starts[-1])
            source = int(self.sources[number])
            clip = gather_clips(self._parts[source], [original - int(self._starts[source])])[0]
            clip = MIRROR(clip) if number != original else clip.with_bodies(clip.bodies)
            clip.y = int(self.labels[number])
            clips.append(clip)
        return clips
