"""A minimal reader and clips to read, and every dataset in small."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyg_fsar.datasets import (
    NTURGBD,
    UTDMHAD,
    KineticsSkeleton,
    PYSKLPickle,
    RawClip,
    SkeletonArrays,
    SkeletonDataset,
    write_ntu_skeleton,
)


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


# Every dataset in small: how its raw files are made, and how it is opened.

RNG = np.random.default_rng(0)
NAMES = [f"S001C001P00{n}R001A00{1 + n % 2}" for n in range(1, 5)]


@dataclass
class Case:
    """A dataset: makes its raw files in a folder, all of them inputs, and opens them."""

    make: Callable[[Path], None]
    open: Callable[..., SkeletonDataset]


def bodies(T: int = 4, V: int = 25, C: int = 3) -> np.ndarray:
    pose = RNG.uniform(-1, 1, (1, 1, V, C)) * np.array([0.2, 0.9, 0.1])[:C]
    return (pose + 0.01 * RNG.standard_normal((1, T, V, C)) + np.array([0, 0, 3])[:C]).astype("f4")


def _ntu(root: Path) -> None:
    for name in NAMES:
        write_ntu_skeleton(root / f"{name}.skeleton", bodies())


def _ntu_zip(root: Path) -> None:
    _ntu(root)
    with zipfile.ZipFile(root / "nturgbd_skeletons_s001_to_s017.zip", "w") as archive:
        for name in NAMES:
            archive.write(root / f"{name}.skeleton", f"nturgb+d_skeletons/{name}.skeleton")
            (root / f"{name}.skeleton").unlink()


def write_mat(path: Path, joints: np.ndarray) -> None:
    """A MATLAB file of level 5 with the variable ``d_skel``, not compressed."""

    def element(code: int, content: bytes) -> bytes:
        tag = np.array([code, len(content)], "<u4").tobytes()
        return tag + content + bytes(-len(content) % 8)

    matrix = element(6, np.array([6, 0], "<u4").tobytes())
    matrix += element(5, np.array(joints.shape, "<i4").tobytes())
    matrix += element(1, b"d_skel") + element(9, joints.astype("<f8").tobytes(order="F"))
    path.write_bytes(b"MATLAB".ljust(124) + b"\0\1IM" + element(14, matrix))


def _utd(root: Path) -> None:
    for n in range(1, 5):
        write_mat(root / f"a{n}_s1_t1_skeleton.mat", bodies(V=20)[0].transpose(1, 2, 0))


def _kinetics(root: Path) -> None:
    table = {}
    for n in range(4):
        people = [{"pose": RNG.uniform(0.1, 0.9, 36).round(3).tolist(), "score": [0.5] * 18}]
        data = [{"frame_index": t, "skeleton": people} for t in range(1, 4)]
        content = {"data": data, "label": "a", "label_index": 1}
        (root / f"v{n}.json").write_text(json.dumps(content))
        table[f"v{n}"] = {"label": f"action {n % 2}", "label_index": 1 + n % 2}
    (root / "kinetics_val_label.json").write_text(json.dumps(table))


def annotation(n: int, **changes: Any) -> dict[str, Any]:
    return {
        "frame_dir": f"v{n}",
        "total_frames": 4,
        "img_shape": (100, 200),
        "label": n % 2,
        "keypoint": RNG.uniform(1, 90, (1, 4, 17, 2)).astype("f4"),
        "keypoint_score": RNG.uniform(0.1, 1, (1, 4, 17)).astype("f4"),
    } | changes


def _pyskl(root: Path) -> None:
    content = {"split": {"train": ["v0"]}, "annotations": [annotation(n) for n in range(4)]}
    (root / "set.pkl").write_bytes(pickle.dumps(content))


def _npy(root: Path) -> None:
    data = np.concatenate([bodies() for _ in range(4)]).transpose(0, 3, 1, 2)[..., None]
    np.save(root / "x_data.npy", data)
    np.save(root / "x_label.npy", [0, 1, 0, 1])
    np.save(root / "x_frame.npy", [4, 4, 3, 4])


def _npz(root: Path) -> None:
    x = np.concatenate([bodies() for _ in range(4)]).reshape(4, 4, 75)
    x = np.concatenate([x, np.zeros_like(x)], axis=-1)  # the second body is not there
    y = np.eye(2)[[0, 1, 0, 1]]
    np.savez(root / "NTU60_CS.npz", x_train=x[:3], y_train=y[:3], x_test=x[3:], y_test=y[3:])


CASES = {
    "ntu": Case(_ntu, lambda root, **kw: NTURGBD(root, split="all", num_workers=0, **kw)),
    "ntu zip": Case(_ntu_zip, lambda root, **kw: NTURGBD(root, split="all", num_workers=0, **kw)),
    "utd": Case(_utd, lambda root, **kw: UTDMHAD(root, split="all", **kw)),
    "kinetics": Case(_kinetics, lambda root, **kw: KineticsSkeleton(root, split="all", **kw)),
    "pyskl": Case(_pyskl, lambda root, **kw: PYSKLPickle(root / "set.pkl", **kw)),
    "npy": Case(
        _npy,
        lambda root, **kw: SkeletonArrays.from_npy(
            *(root / f"x_{part}.npy" for part in ("data", "label", "frame")),
            **{"processed_dir": root / "processed"} | kw,
        ),
    ),
    "npz": Case(
        _npz,
        lambda root, **kw: SkeletonArrays.from_npz(
            root / "NTU60_CS.npz", **{"processed_dir": root / "processed"} | kw
        ),
    ),
}


@pytest.fixture(params=CASES)
def case(request) -> Case:
    """One dataset after the other."""
    return CASES[request.param]


@pytest.fixture
def cases() -> dict[str, Case]:
    """All datasets by name."""
    return CASES


@pytest.fixture
def root(case, tmp_path) -> Path:
    """Folder of the raw files of a dataset."""
    folder = tmp_path / "raw"
    folder.mkdir()
    case.make(folder)
    return folder


@pytest.fixture
def make_bodies():
    """Random bodies ``[1, T, V, C]``."""
    return bodies
