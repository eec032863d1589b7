from __future__ import annotations

import collections
import os
import pickle

import numpy as np
import pytest

from pyg_fsar.datasets.safe_pickle import load_pickle

DATA = {
    "array": np.arange(6, dtype="f2").reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "scalar": np.int64(3),
    "text": np.array(["a", "bc"]),
    "objects": np.array([None, "x", 2.5], dtype=object),
    "plain": [1, 2.0, True, None, "x", b"y", (1, 2), {3}, frozenset([4]), bytearray(b"z")],
    "ordered": collections.OrderedDict(a=1),
}


def save(tmp_path, content, protocol=None):
    path = tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_plain_containers(tmp_path, protocol):
    loaded = load_pickle(save(tmp_path, DATA, protocol))
    assert loaded.keys() == DATA.keys()
    for key in ("array", "fortran", "text", "objects"):
        np.testing.assert_array_equal(loaded[key], DATA[key])
        assert loaded[key].dtype == DATA[key].dtype
    for key in ("scalar", "plain", "ordered"):
        assert loaded[key] == DATA[key]


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_files_of_both_numpy_generations(tmp_path, core, protocol):
    data = pickle.dumps({"a": np.arange(3), "s": np.float32(2)}, protocol=protocol)
    here = b"numpy._core" if b"numpy._core" in data else b"numpy.core"
    if protocol >= 4:  # the module's name is preceded by its length
        for module in (b".multiarray", b".numeric"):
            old, new = here + module, core + module
            data = data.replace(bytes([len(old)]) + old, bytes([len(new)]) + new)
        # Without frames, whose length would have changed.
        data = data[:2] + data[11:] if data[2:3] == b"\x95" else data
    else:
        data = data.replace(here, core)
    path = tmp_path / "file.pkl"
    path.write_bytes(data)
    loaded = load_pickle(path)
    assert loaded["a"].tolist() == [0, 1, 2]
    assert loaded["s"] == 2


class Malicious:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_code_is_refused_and_not_run(tmp_path, protocol):
    trace = tmp_path / "trace"
    for evil in (
        Malicious(os.system, f"touch {trace}"),
        Malicious(eval, f"open({str(trace)!r}, 'w')"),
        Malicious(getattr, "x", "upper"),
        Malicious(np.load, str(trace)),
        np.array([Malicious(os.system, f"touch {trace}")], dtype=object),
    ):
        path = save(tmp_path, {"annotations": [evil]}, protocol)
        with pytest.raises(ValueError, match=r"file.pkl is no pickle of NumPy arrays.*it asks for"):
            load_pickle(path)
    assert not trace.exists()


def test_no_codec_but_latin1(tmp_path):
    import codecs

    path = save(tmp_path, Malicious(codecs.encode, "abc", "rot13"), 2)
    with pytest.raises(ValueError, match="encoding 'rot13'"):
        load_pickle(path)


@pytest.mark.parametrize("size", [0, 1, 20, -1])
def test_truncated(tmp_path, size):
    path = save(tmp_path, DATA)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=str(path)):
        load_pickle(path)


def test_no_pickle(tmp_path):
    path = tmp_path / "text.pkl"
    path.write_text("frames: 3\n")
    with pytest.raises(ValueError, match=str(path)):
        load_pickle(path)


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_pickle(tmp_path / "none.pkl")
