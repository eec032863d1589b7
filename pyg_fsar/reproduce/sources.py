"""The data sets on which experiments run, each with its protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from torch_geometric.transforms import BaseTransform

from pyg_fsar.datasets import (
    HDM05,
    NTURGBD,
    UTDMHAD,
    FakeSkeletonDataset,
    KinderGator,
    KineticsSkeleton,
    SkeletonDataset,
)
from pyg_fsar.transforms import ResampleFrames, clip_transform

__all__ = ["SOURCES", "SPLITS", "Place", "Protocol", "exemplars_of"]

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Protocol:
    """A data set as experiments use it.

    Args:
        reader: Opens it, given ``split=`` and ``transform=`` by name.
        num_frames: Frames of every clip.
        preparation: How clips are prepared unless an experiment says otherwise, see
            :meth:`Place.transform`.
        one_shot: Whether it is tested by exemplars, one for each class, instead of by episodes.
        stands_in: Whether experiments that name other data sets run on it all the same.
        has_root: Whether it is read from a folder.

    Example:
        >>> protocol = Protocol(UTDMHAD, num_frames=30)
        >>> protocol.one_shot
        False
    """

    reader: Callable[..., SkeletonDataset]
    num_frames: int = 30
    preparation: str = "normalised"
    one_shot: bool = False
    stands_in: bool = False
    has_root: bool = True


# On small sets the mean pose tells the person more than the action, see docs/source/datasets.rst.
_small = partial(Protocol, preparation="motion", stands_in=True)

#: Data sets by the name that ``--data`` takes, and the protocols that each offers, by the names of
#: the paper's tables; a further one is a further line.
SOURCES: dict[str, dict[str, Protocol]] = {
    "ntu": {
        "NTU-T": Protocol(partial(NTURGBD, subset="T")),
        "NTU-S": Protocol(partial(NTURGBD, subset="S")),
        "NTU-120 one-shot": Protocol(partial(NTURGBD, protocol="one-shot"), one_shot=True),
    },
    "kinetics": {"Kinetics": Protocol(partial(KineticsSkeleton, clips_per_class=100), 50)},
    "utd": {"UTD-MHAD": _small(UTDMHAD)},
    "kindergator": {"Kinder-Gator": _small(KinderGator)},
    "hdm05": {"HDM05": _small(HDM05)},
    "fake": {"generated": _small(partial(FakeSkeletonDataset, "ntu25"), has_root=False)},
}


@dataclass(frozen=True)
class Place:
    """Where data lies and results go.

    Args:
        out: Folder of results.
        roots: Folder of each data set of :data:`SOURCES`.
        processed: Folder for what is made of the raw files; beside them if not given.
        missing: The authors' list of NTU clips with missing skeletons, see
            :class:`~pyg_fsar.datasets.NTURGBD`.

    Example:
        >>> place = Place(Path("out"))
        >>> place.roots
        {}
    """

    out: Path
    roots: Mapping[str, Path] = field(default_factory=dict)
    processed: Path | None = None
    missing: str | None = None

    def open(
        self, source: str, protocol: str, split: str, transform: BaseTransform | None = None
    ) -> SkeletonDataset:
        """One split of a data set.

        Raises:
            ValueError: If the data set needs a folder and has none.
        """
        chosen = SOURCES[source][protocol]
        options: dict[str, Any] = {"split": split, "transform": transform}
        if chosen.has_root:
            if source not in self.roots:
                raise ValueError(f"--data {source} needs --root, the folder of the data set")
            options["root"] = self.roots[source]
            if self.processed is not None:
                options["processed_dir"] = self.processed / source
        if source == "ntu" and self.missing is not None:
            options["missing"] = self.missing
        return chosen.reader(**options)

    def prepared(
        self, source: str, protocol: str, split: str, preparation: str, num_frames: int
    ) -> SkeletonDataset:
        """One split with its clips prepared.

        Args:
            source: A name of :data:`SOURCES`.
            protocol: One of its protocols.
            split: A name of :data:`SPLITS`; clips of ``"train"`` are also changed at random.
            preparation: ``"raw"`` (only resampled), ``"normalised"``
                (:func:`~pyg_fsar.transforms.clip_transform`) or ``"motion"`` (and freed of their
                mean pose).
            num_frames: Frames of every clip.
        """
        dataset = self.open(source, protocol, split)
        if preparation == "raw":
            dataset.transform = ResampleFrames(num_frames, "uniform")
        else:
            dataset.transform = clip_transform(
                num_frames, split == "train", preparation == "motion", dataset.skeleton.dims
            )
        return dataset

    def fingerprint(self, source: str, protocol: str) -> str:
        """Digest of the names and labels of all clips of all splits."""
        return _fingerprint(self, source, protocol)

    def __hash__(self) -> int:
        return hash((self.out, *sorted(self.roots.items()), self.processed, self.missing))


@lru_cache(maxsize=64)
def _fingerprint(place: Place, source: str, protocol: str) -> str:
    digest = hashlib.sha256()
    for split in SPLITS:
        dataset = place.open(source, protocol, split)
        pairs = zip(dataset.names, dataset.labels.tolist(), strict=True)
        digest.update(repr((split, sorted(pairs))).encode())
    return digest.hexdigest()[:16]


def exemplars_of(dataset: SkeletonDataset) -> list[int]:
    """Positions of the clips that are the support of the one-shot protocol: those of the protocol,
    or the first clip of each class by name.
    """
    if isinstance(dataset, NTURGBD):
        return list(dataset.exemplars.values())
    first: dict[int, tuple[str, int]] = {}
    labels: Sequence[int] = dataset.labels.tolist()
    for position, (label, name) in enumerate(zip(labels, dataset.names, strict=True)):
        first[label] = min(first.get(label, (name, position)), (name, position))
    return [position for _, position in first.values()]
