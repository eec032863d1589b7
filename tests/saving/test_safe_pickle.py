from __future__ import annotations

import collections
import os
import pickle

import numpy as np
import pytest

from pyg_fsar.saving.safe_pickle import load_pickle

SHARED = (1080, 1920)
DATA = {
    "array": np.arange(6, dtype="f2").reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "scalar": np.int64(3),
    "text": np.array(["a", "bc"]),
    "big-endian": np.arange(4, dtype=">i4"),
    "booleans": np.array([[True], [False]]),
    "bytes": np.array([b"a", b"bc"]),
    "empty": np.zeros((0, 3)),
    "single": np.array(2.5),
    "plain": [1, 2.0, True, None, "x", b"y", (1, 2), {3}, frozenset([4]), bytearray(b"z")],
    "ordered": collections.OrderedDict(a=1),
    "keys": {"a": 1, 2: 3, (4, "b"): 5, None: 6, np.int64(7): 8, b"c": 9, 0.5: 10},
    "numbers": [2**200, -(2**31), 65536, 256, -1, float("inf")],
    "shared": [SHARED, SHARED, {"again": SHARED}],
    "dtype": np.dtype("f4"),
}


def save(tmp_path, content, protocol=None):
    path = tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_plain_containers(tmp_path, protocol):
    loaded = load_pickle(save(tmp_path, DATA, protocol))
    assert loaded.keys() == DATA.keys()
    for key, value in DATA.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(loaded[key], value)
            assert loaded[key].dtype == value.dtype
            assert loaded[key].flags.writeable
            assert loaded[key].flags.f_contiguous == value.flags.f_contiguous
        else:
            assert loaded[key] == value
            assert type(loaded[key]) is type(value)


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


@pytest.mark.parametrize("protocol", range(3))
def test_texts_of_python_2(tmp_path, protocol):
    """Where texts are bytes, and so is the memory of arrays."""
    path = tmp_path / "old.pkl"
    texts = {0: b"S'caf\\xe9 \\'s'\n", 1: b"U\x07caf\xe9 's", 2: b"T\x07\x00\x00\x00caf\xe9 's"}
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\nt"
        b"cnumpy\ndtype\n(S'i2'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
        b"S'\\x01\\x00\\xff\\xff'\ntb"
    )
    path.write_bytes(b"(lp0\n" + texts[protocol] + b"a" + array + b"a.")
    text, numbers = load_pickle(path)
    assert text == "caf\xe9 's"
    assert numbers.tolist() == [1, -1]


def array_of(dtype=b"i2", state=b"(I3\nS'<'\nNNNI-1\nI-1\nI0\nt", shape=b"(I2\nt", data=b"abcd"):
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n" + shape
        + b"cnumpy\ndtype\n(S'" + dtype + b"'\nI0\nI1\ntR" + state + b"bI00\nS'" + data + b"'\ntb."
    )  # fmt: skip


def nested(begin: bytes, repeat: bytes, times: int, end: bytes = b"") -> bytes:
    return begin + repeat * times + end + b"."


# Each is a few bytes that make Python's own unpickler call, crash, hang or fill the memory.
HOSTILE = {
    "objects over bytes": array_of(b"O8", b"(I3\nS'|'\nNNNI-1\nI-1\nI63\nt", data=b"A" * 16),
    "fields outside": array_of(
        b"V4",
        b"(I3\nS'|'\nN(S'a'\nt(dS'a'\n(cnumpy\ndtype\n(S'i4'\nI0\nI1\ntRI4096\ntsI4\nI1\nI0\nt",
    ),
    "fields of numbers": array_of(b"i2", b"(I3\nS'<'\nN(S'a'\nt(dI-1\nI-1\nI0\nt"),
    "a dtype of another size": array_of(b"S2", b"(I3\nS'|'\nNNNI4096\nI1\nI0\nt"),
    "a huge dtype": array_of(b"S2000000000", data=b""),
    "complex": array_of(b"c8", data=b"abcdefgh" * 2),
    "dates": array_of(b"M8[s]", data=b"abcdefgh" * 2),
    "too little memory": array_of(shape=b"(I3\nt"),
    "a huge shape": array_of(shape=b"(I0\nI4611686018427387904\nt", data=b""),
    "a negative shape": array_of(shape=b"(I-2\nI-1\nt"),
    "a shape without end": array_of(shape=b"(" + b"I1\n" * 100 + b"I2\nt"),
    "no character": array_of(b"U1", b"(I3\nS'<'\nNNNI4\nI4\nI8\nt", b"(I1\nt", b"\\xff" * 4),
    "an array of a type": b"cnumpy\nndarray\n(I4611686018427387904\ntR.",
    "an array without content": b"cnumpy.core.multiarray\n_reconstruct\n"
    b"(cnumpy\nndarray\n(I0\ntS'b'\ntR.",
    "the type of arrays": b"cnumpy\nndarray\n.",
    "bytes by number": b"cbuiltins\nbytearray\n(I4611686018427387904\ntR.",
    "the state of a dictionary": b"}}(S'a'\nI1\nsb.",
    "announced bytes": b"\x80\x05\x96" + (2**62).to_bytes(8, "little") + b"abc.",
    "an announced text": b"\x80\x04\x8d" + (2**40).to_bytes(8, "little") + b"abc.",
    "an announced frame": b"\x80\x04\x95" + (2**62).to_bytes(8, "little") + b"N.",
    "an announced number": b"\x80\x02\x8b" + (2**30).to_bytes(4, "little") + b"abc.",
    "deep lists": nested(b"", b"]", 30_000, b"a" * 29_999),
    "deep tuples": nested(b")", b"\x85", 30_000),
    "keys of deep tuples": nested(b"})", b"\x85", 30_000, b"Ns"),
    "keys that double": nested(b"})\x94", b"h\x00h\x00\x86q\x00", 60, b"Ns"),
    "elements that double": nested(b"\x8f()q\x00", b"0h\x00h\x00\x86q\x00", 60, b"\x90"),
    "lists that double": nested(b"](]q\x00e", b"]q\x01(h\x00h\x00eq\x00a", 40),
    "tuples that double": nested(b")q\x00", b"h\x00\x86q\x00", 60),
    "a shape that doubles": array_of(shape=b")q\x00" + b"h\x00\x86q\x00" * 60),
    "a dtype that doubles": b"cnumpy\ndtype\n)q\x00" + b"h\x00\x86q\x00" * 60 + b"\x85R.",
    "one text as many bytes": b"](V"
    + b"x" * 10_000
    + b"\nq\x00"
    + b"c_codecs\nencode\n(h\x00Vlatin1\ntR" * 10_000
    + b"e.",
    "one list as many sets": b"](]q\x00("
    + b"K\x01" * 30_000
    + b"e"
    + b"cbuiltins\nset\n(h\x00tR" * 10_000
    + b"e.",
    "a key without end": b"}(" + b"N" * 100_000 + b"tNs.",
    "numbers of one hash": nested(
        b"}(", b"\x8a\x09" + (2**61 - 1 << 8).to_bytes(9, "little") + b"N", 9, b"u"
    ),
    "a list in itself": b"]q\x00h\x00a.",
    "a dictionary in itself": b"}q\x00(S'a'\nh\x00u.",
    "a place in the memo": b"\x80\x02]r\xff\xff\xff\xff" + b"(" + b".",
    "digits without end": b"I" + b"9" * 100_000 + b"\n.",
    "a marker alone": b"(.",
    "nothing": b".",
    "values left over": b"NNN.",
    "an own class": b"\x80\x02cbuiltins\nobject\n)\x81.",
    "an outer object": b"Pnumber\n.",
    "half a character": b"V\\ud800\n.",
    "no text": b"X\x01\x00\x00\x00\xff.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_at_once(tmp_path, name):
    path = tmp_path / "file.pkl"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(ValueError, match=r"file\.pkl is (no pickle of|not a whole)") as caught:
        load_pickle(path)
    assert len(str(caught.value)) < 500


def test_objects_in_arrays_are_refused(tmp_path):
    for value in ({"a": np.array([None, "x"], dtype=object)}, np.array([1j]), np.zeros(2, "i4,f4")):
        with pytest.raises(ValueError, match=r"it asks for arrays of dtype"):
            load_pickle(save(tmp_path, value))


def test_bytes_that_are_no_truth_values(tmp_path):
    data = array_of(b"b1", b"(I3\nS'|'\nNNNI-1\nI-1\nI0\nt", b"(I4\nt", b"\\x00\\x01\\x02\\xff")
    path = tmp_path / "file.pkl"
    path.write_bytes(data)
    assert load_pickle(path).view("u1").tolist() == [0, 1, 1, 1]


def test_damage_gives_data_or_a_named_error(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "file.pkl"
    for protocol in (0, 2, 4, 5):
        whole = pickle.dumps(DATA, protocol=protocol)
        for _ in range(60):
            data = bytearray(whole)
            for place in rng.integers(len(data), size=rng.integers(1, 4)):
                data[place] = rng.integers(256)
            path.write_bytes(data)
            try:
                load_pickle(path)
            except ValueError as error:
                assert str(path) in str(error)
