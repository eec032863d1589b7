"""What of :mod:`pyg_fsar.formats` is tried with damaged files: one target per kind of file.

A target takes the path of a file or folder. It may return, or raise ValueError or
FileNotFoundError whose message names the file in fewer than 500 characters; anything else is a
fault. Seeds are whole files of the kind, to be damaged.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pyg_fsar.formats import read_clip
from pyg_fsar.testing import SAMPLES, sample_bodies

__all__ = ["TARGETS", "Target", "makers"]


class Target(NamedTuple):
    """One kind of file.

    Args:
        read: ``read(path)`` reads a file that may be damaged.
        seed: ``seed(folder)`` writes a whole file, or a folder of files, and returns its path.
    """

    read: Callable[[Path], None]
    seed: Callable[[Path], Path]


def read(path: Path, **options: Any) -> None:
    """Read a file in the usual ways; what is read is finite."""
    for people in (1, "all"):
        for retrack in (False, True):
            clips = read_clip(path, people=people, retrack=retrack, **options)
            for clip in clips if isinstance(clips, list) else [clips]:
                assert bool(clip.x.isfinite().all()), f"{path} was read with NaN or infinity"


def seed(name: str, folder: Path) -> Path:
    sample = SAMPLES[name]
    path = folder / sample.name
    sample.write(path, sample_bodies(sample, 2 if sample.many else 1))
    return path


#: By name: each kind of file with its format recognised, and again with it named.
TARGETS: dict[str, Target] = {
    **{name: Target(read, partial(seed, name)) for name in SAMPLES},
    **{
        f"{name}, named": Target(
            partial(read, format=sample.format, **dict(sample.options)), partial(seed, name)
        )
        for name, sample in SAMPLES.items()
    },
}


def makers() -> dict[str, Callable[[Path], Callable[[], None]]]:
    """The same in the form of ``fuzz.py``: writes a whole file, and returns what reads it."""

    def make(target: Target, folder: Path) -> Callable[[], None]:
        return partial(target.read, target.seed(folder))

    return {f"formats, {name}": partial(make, target) for name, target in TARGETS.items()}
