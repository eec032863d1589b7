from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pyg_fsar.formats import read_clip

RNG = np.random.default_rng(0)


def test_layouts_that_fit_are_named(tmp_path: Path) -> None:
    joints = RNG.uniform(0, 1, (6, 25, 3))
    np.save(tmp_path / "a.npy", joints)
    with pytest.raises(ValueError, match=r"shape \(6, 25, 3\) fits ntu25, openpose25.*skeleton="):
        read_clip(tmp_path / "a.npy")
    np.testing.assert_allclose(
        read_clip(tmp_path / "a.npy", skeleton="ntu25").bodies[0], joints, atol=1e-6
    )
    pictures = read_clip(tmp_path / "a.npy", skeleton="openpose25")
    np.testing.assert_allclose(pictures.bodies[0, ..., 1], 0.5 - joints[..., 1], atol=1e-6)
    np.save(tmp_path / "a.npy", np.ones((6, 77, 3)))
    with pytest.raises(ValueError, match="fits none that is registered"):
        read_clip(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.ones((6, 17, 4)))
    with pytest.raises(ValueError, match="joints have 4 channels; 'coco17' has 2 coordinates"):
        read_clip(tmp_path / "a.npy", skeleton="coco17")


def test_pixels(tmp_path: Path) -> None:
    joints = RNG.uniform(10, 400, (2, 6, 17, 2))
    joints[0, 2, 3] = 0
    np.save(tmp_path / "a.npy", joints)
    clip = read_clip(tmp_path / "a.npy", skeleton="coco17", size=(640, 480), people=2)
    expected = np.stack(
        [(joints[..., 0] - 320) / 480, (240 - joints[..., 1]) / 480, np.ones((2, 6, 17))], axis=-1
    )
    expected[0, 2, 3] = 0
    order = [0, 1] if np.allclose(clip.bodies[0], expected[0], atol=1e-5) else [1, 0]
    np.testing.assert_allclose(clip.bodies, expected[order], atol=1e-5)


@pytest.mark.parametrize("delimiter", [",", " ", ";", "\t"])
def test_rows_of_numbers(delimiter: str, tmp_path: Path) -> None:
    joints = RNG.uniform(-1, 1, (6, 20, 3))
    np.savetxt(tmp_path / "a.txt", joints.reshape(6, 60), delimiter=delimiter)
    np.testing.assert_allclose(read_clip(tmp_path / "a.txt").bodies[0], joints, atol=1e-6)


def test_archives(tmp_path: Path) -> None:
    joints = RNG.uniform(-1, 1, (6, 20, 3))
    np.savez(tmp_path / "a.npz", joints=joints, labels=np.arange(6))
    with pytest.raises(ValueError, match=r"2 arrays; choose one by key=\.\.\., of joints"):
        read_clip(tmp_path / "a.npz", format="plain")
    np.testing.assert_allclose(
        read_clip(tmp_path / "a.npz", format="plain", key="joints").bodies[0], joints, atol=1e-6
    )
    with pytest.raises(ValueError, match="it has no array 'x'; it has joints, labels"):
        read_clip(tmp_path / "a.npz", format="plain", key="x")


def npy(header: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data


@pytest.mark.parametrize(
    "raw",
    [
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (10, 20, 3)}", bytes(100)),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1" + "0" * 45 + ",)}", bytes(8)),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-5, -20, 3)}", bytes(1200)),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", pickle.dumps([1, 2])),
        npy("{'descr': '<c8', 'fortran_order': False, 'shape': (1, 20, 3)}", bytes(480)),
        npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (60,)}", bytes(240)),
        npy("(" * 5000),
        npy("{'descr': '"),
        npy("{'descr': '<f4'}"),
        b"\x93NUMPY\x09\x00" + bytes(50),
        b"\x93NUMPY",
    ],
)
def test_damaged_arrays(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(raw)
    for name in (None, "plain", "mediapipe"):
        with pytest.raises(ValueError, match=r"a\.npy .{,450}$"):
            read_clip(tmp_path / "a.npy", format=name)


def test_fortran_order_and_other_types(tmp_path: Path) -> None:
    joints = RNG.integers(-5, 5, (6, 20, 3))
    joints[..., 0] = 7
    for array in (np.asfortranarray(joints), joints.astype(">f8"), joints.astype(np.float16)):
        np.save(tmp_path / "a.npy", array)
        np.testing.assert_array_equal(read_clip(tmp_path / "a.npy").bodies[0], joints)


def test_zip_bombs_and_paths_out_of_an_archive(tmp_path: Path) -> None:
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (100000000, 20, 3)}"
    with (
        zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("a.npy", "w", force_zip64=True) as member,
    ):
        member.write(npy(header))
        for _ in range(280):
            member.write(bytes(2**20))
    with pytest.raises(ValueError, match=r"a\.npz .*'a\.npy' has more than 256 MiB"):
        read_clip(tmp_path / "a.npz")
    stream = io.BytesIO()
    np.save(stream, RNG.uniform(-1, 1, (6, 20, 3)))
    folder = tmp_path / "inside"
    folder.mkdir()
    with zipfile.ZipFile(folder / "b.npz", "w") as archive:
        archive.writestr("../../outside.npy", stream.getvalue())
    assert read_clip(folder / "b.npz").num_frames == 6
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.npz", "b.npz", "inside"]
