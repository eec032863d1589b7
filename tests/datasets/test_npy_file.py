from __future__ import annotations

import numpy as np
import pytest

from pyg_fsar.datasets import SkeletonArrays
from pyg_fsar.datasets.npy_file import load_npy, npz_rows, npz_shapes


def header(text: bytes, content: bytes = b"") -> bytes:
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + content


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["f4", ">f8", "i8", "u1", "?", "f2"])
def test_arrays_are_those_of_numpy(tmp_path, dtype, order):
    values = np.asarray(np.arange(24).reshape(2, 3, 4) % 2, dtype, order=order)
    np.save(tmp_path / "a.npy", values)
    found = load_npy(tmp_path / "a.npy")
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)
    np.save(tmp_path / "empty.npy", np.zeros((0, 3)))
    assert load_npy(tmp_path / "empty.npy").shape == (0, 3)


BROKEN = {
    "empty": b"",
    "text": b"hello",
    "token": header(b"{'descr': '<f4', ("),
    "deep": header(b"(" * 9000),
    "not a dictionary": header(b"3" + b" " * 60),
    "huge": header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (%d,)}\n" % 10**45),
    "negative": header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4)}\n", b"0" * 64),
    "short": header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (9, 9)}\n", b"0" * 64),
    "complex": header(b"{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}\n", b"0" * 64),
    "fields": header(
        b"{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1,)}\n", b"0" * 64
    ),
    "objects": header(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n", b"0" * 64),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("part", ["data", "label", "frame"])
def test_damaged_headers_are_refused_by_the_name_of_the_file(tmp_path, cases, part, kind):
    cases["npy"].make(tmp_path)
    (tmp_path / f"x_{part}.npy").write_bytes(BROKEN[kind])
    with pytest.raises(ValueError, match=rf"x_{part}\.npy is not a whole \.npy file") as caught:
        cases["npy"].open(tmp_path)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("length", [np.inf, np.nan, -1, 0, 2.5, 1e30])
def test_a_length_that_is_none_is_skipped(tmp_path, cases, length):
    cases["npy"].make(tmp_path)
    np.save(tmp_path / "x_frame.npy", [4, length, 3, 4])
    with pytest.warns(UserWarning, match="clip '1': of 4 frames .* are said to count"):
        dataset = cases["npy"].open(tmp_path)
    assert dataset.names == ["0", "2", "3"]


# .npz


def test_the_file_that_users_of_ctr_gcn_have(tmp_path, cases):
    cases["npz"].make(tmp_path)
    path = tmp_path / "NTU60_CS.npz"
    with np.load(path) as content:
        x = np.concatenate([content["x_train"], content["x_test"]])
        y = np.concatenate([content["y_train"], content["y_test"]]).argmax(axis=1)
    dataset = SkeletonArrays.from_npz(path)
    assert dataset.names == ["train_0", "train_1", "train_2", "test_0"]
    assert dataset.labels.tolist() == y.tolist()
    for clip, flat in zip(dataset, x, strict=True):
        assert clip.num_bodies == 1  # the other one is zero throughout
        np.testing.assert_array_equal(clip.bodies[0], flat.reshape(4, 2, 25, 3)[:, 0])
    assert SkeletonArrays.from_npz(path, split="test").names == ["test_0"]
    assert SkeletonArrays.from_npz(path, "train", classes=[1]).names == ["train_1"]
    assert SkeletonArrays.from_npy(path).names == dataset.names
    with pytest.raises(ValueError, match=r"no split 'val'; it has \['test', 'train'\]"):
        SkeletonArrays.from_npz(path, split="val")


def test_rows_are_read_one_by_one(tmp_path):
    values = np.arange(24.0).reshape(4, 2, 3)
    np.savez_compressed(tmp_path / "a.npz", x=values)
    assert npz_shapes(tmp_path / "a.npz") == {"x": (4, 2, 3)}
    np.testing.assert_array_equal(list(npz_rows(tmp_path / "a.npz", "x")), values)
    with pytest.raises(ValueError, match=r"a\.npz is not a whole \.npz file"):
        list(npz_rows(tmp_path / "a.npz", "y"))


def test_what_an_npz_file_must_have(tmp_path):
    path = tmp_path / "a.npz"
    for arrays, message in (
        ({"data": np.ones(3)}, "must have arrays 'x_train' and 'y_train'"),
        ({"x_train": np.ones((2, 4, 74)), "y_train": [0, 1]}, r"must be \[N, T, M \* 25 \* 3\]"),
        ({"x_train": np.ones((2, 4, 75)), "y_train": [0]}, r"y_train \(1,\) must be"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match=rf"a\.npz:? .*{message}"):
            SkeletonArrays.from_npz(path)
    np.savez(path, x_train=np.ones((3, 4, 75)), y_train=[[1, 0], [1, 1], [0, 0]])
    with pytest.warns(UserWarning, match="clip 'train_1': its label is not one-hot"):
        assert SkeletonArrays.from_npz(path).names == ["train_0"]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"a\.npz is not a whole \.npz file"):
        SkeletonArrays.from_npz(path)


def test_any_damage_of_an_npz_file_is_skipped_or_refused(tmp_path, cases):
    cases["npz"].make(tmp_path)
    path = tmp_path / "NTU60_CS.npz"
    rng, whole = np.random.default_rng(0), path.read_bytes()
    for _ in range(100):
        damaged = bytearray(whole)
        at = rng.integers(len(whole))
        if rng.random() < 0.5:
            del damaged[at : at + rng.integers(1, 50)]
        else:
            damaged[at:at] = rng.bytes(20)
        path.write_bytes(damaged)
        try:
            npz_shapes(path)
            list(npz_rows(path, "x_train"))
        except ValueError as error:
            assert "NTU60_CS.npz is not a whole .npz file" in str(error)


def test_an_npz_file_given_as_npy_names_the_cure(tmp_path, cases):
    cases["npz"].make(tmp_path)
    path = tmp_path / "NTU60_CS.npz"
    with pytest.raises(ValueError, match=r"NTU60_CS\.npz .*from_npz"):
        SkeletonArrays.from_npy(path, path)
