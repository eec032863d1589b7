from __future__ import annotations

import io

import numpy as np
import pytest

from pyg_fsar.datasets.mat_file import read_mat_array

scipy_io = pytest.importorskip("scipy.io")


def saved(variables, **kwargs) -> bytes:
    file = io.BytesIO()
    scipy_io.savemat(file, variables, **kwargs)
    return file.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "u2", "i4", "i8"])
def test_arrays_are_those_of_scipy(compressed, dtype):
    values = (100 * np.random.default_rng(0).random((3, 4, 5))).astype(dtype)
    raw = saved({"first": np.zeros(3), "d_skel": values}, do_compression=compressed)
    found = read_mat_array(raw, "d_skel")
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(read_mat_array(raw, "first"), np.zeros((1, 3)))


def test_real_files_are_those_of_scipy(utd_root):
    for path in sorted(utd_root.rglob("*_skeleton.mat"))[::50]:
        expected = scipy_io.loadmat(path, variable_names=["d_skel"])["d_skel"]
        np.testing.assert_array_equal(read_mat_array(path.read_bytes(), "d_skel"), expected)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "level 5"),
        (saved({"d_skel": np.zeros(3)}, format="4"), "level 5"),
        (saved({"other": np.zeros(3)}), "no variable 'd_skel'"),
        (saved({"d_skel": 1j * np.ones(3)}), "no array of real numbers"),
        (saved({"d_skel": "text"}), "no array of real numbers"),
        (saved({"d_skel": {"x": 1}}), "no array of real numbers"),
        (saved({"d_skel": np.zeros(30)})[:-80], "cut off"),
        (saved({"d_skel": np.zeros(3000)}, do_compression=True)[:-9], "cut off"),
    ],
)
def test_what_it_refuses(raw, message):
    with pytest.raises(ValueError, match=message):
        read_mat_array(raw, "d_skel")


def test_a_bomb_is_not_unpacked():
    raw = saved({"d_skel": np.zeros(10**6)}, do_compression=True)
    assert len(raw) < 20_000
    with pytest.raises(ValueError, match="more than 1 MiB unpacked"):
        read_mat_array(raw, "d_skel", max_bytes=2**20)


@pytest.mark.parametrize("compressed", [False, True])
def test_any_damage_is_a_value_error_or_harmless(compressed):
    rng = np.random.default_rng(0)
    whole = saved({"d_skel": rng.random((4, 3, 5))}, do_compression=compressed)
    for _ in range(500):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), rng.integers(1, 4)):
            damaged[at] = rng.integers(256)
        try:
            found = read_mat_array(bytes(damaged), "d_skel")
        except ValueError as error:
            assert len(str(error)) < 300
        else:
            assert found.size == 60
