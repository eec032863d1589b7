"""A minimal reader, and clips to read."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pyg_fsar.datasets import RawClip, SkeletonDataset


class NumpyClips(SkeletonDataset):
    """One ``.npy`` file per clip, named ``<number>_<label>.npy``; notes what it reads."""

    def __init__(self, root, **kwargs):
        kwargs.setdefault("num_workers", 0)
        super().__init__(root, **kwargs)

    def raw_files(self):
        files = sorted(path.name for path in Path(self.root).glob("*.npy"))
        if not files:
            raise FileNotFoundError(f"no *.npy in {self.root}")
        return files

    def read_raw(self, file):
        with (Path(self.root) / "log.txt").open("a") as log:
            log.write(f"{file} {os.getpid()}\n")
        number, label = map(int, Path(file).stem.split("_"))
        bodies = np.load(Path(self.root, file), allow_pickle=False)
        yield RawClip(f"clip{number}", bodies, label, {"number": number, "side": "left"})


@pytest.fixture
def reader() -> type[SkeletonDataset]:
    return NumpyClips


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Folder of 12 clips of 1 or 2 bodies and 4 to 7 frames, in 3 classes."""
    rng = np.random.default_rng(0)
    root = tmp_path / "raw"
    root.mkdir()
    for n in range(12):
        bodies = rng.standard_normal((1 + n % 2, 4 + n % 4, 25, 3))
        np.save(root / f"{n:03d}_{n % 3}.npy", bodies)
    return root


@pytest.fixture
def files_read(raw: Path):
    """Names of the raw files read since the last call, by one process or by all."""

    def take(by: int | None = None) -> list[str]:
        log = raw / "log.txt"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        entries = [line.split() for line in lines]
        return [file for file, process in entries if by in (None, int(process))]

    return take
