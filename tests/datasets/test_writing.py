from __future__ import annotations

import errno
import json

import numpy as np
import pytest

from pyg_fsar.datasets.storage import JOURNAL, RawClip
from pyg_fsar.datasets.writing import ClipCollector, StoreWriter

SOURCES = ["a", "b", "c"]


def clip(name, shape=(1, 4, 5, 3), **metadata):
    return RawClip(name, np.full(shape, ord(name[0]), "f4"), 1, metadata)


def write(path, sources, info=None, resume=True, stop=False):
    """Write one clip per source not yet written; return which were written and the store."""
    with StoreWriter(path, info or {}, SOURCES, resume) as writer:
        rest = sources[len(writer.sources) :]
        for source in rest:
            writer.append(clip(source))
            writer.commit(source)
        return rest, None if stop else writer.finish()


def test_nothing_has_the_name_before_it_is_whole(tmp_path):
    path = tmp_path / "store"
    write(path, SOURCES[:2], stop=True)
    assert not path.exists()
    _, store = write(path, SOURCES)
    assert store.names.tolist() == SOURCES
    assert [entry.name for entry in tmp_path.iterdir()] == ["store"]
    assert not (path / JOURNAL).exists()


def test_resume_reads_only_the_rest(tmp_path):
    write(tmp_path / "store", SOURCES[:2], stop=True)
    rest, store = write(tmp_path / "store", SOURCES)
    assert rest == ["c"]
    assert store.frames[:, 0, 0].tolist() == [97] * 4 + [98] * 4 + [99] * 4


@pytest.mark.parametrize("cut", ["line", "frames", "extra", "journal", "header"])
def test_resume_after_an_unfinished_write(tmp_path, cut):
    write(tmp_path / "store", SOURCES[:2], stop=True)
    journal = tmp_path / ".store.partial" / JOURNAL
    frames = tmp_path / ".store.partial" / "frames.f32"
    expected = {"line": ["b", "c"], "frames": ["b", "c"], "extra": ["c"]}.get(cut, SOURCES)
    if cut == "line":
        journal.write_bytes(journal.read_bytes()[:-5])
    elif cut == "frames":
        frames.write_bytes(frames.read_bytes()[:-8])
    elif cut == "extra":
        frames.write_bytes(frames.read_bytes() + b"123")
    elif cut == "journal":
        journal.unlink()
    else:
        journal.write_bytes(journal.read_bytes()[:4])
    rest, store = write(tmp_path / "store", SOURCES)
    assert rest == expected
    assert store.frames[:, 0, 0].tolist() == [97] * 4 + [98] * 4 + [99] * 4


def test_resume_after_two_interruptions(tmp_path):
    write(tmp_path / "store", SOURCES[:1], stop=True)
    journal = tmp_path / ".store.partial" / JOURNAL
    journal.write_bytes(journal.read_bytes() + b'["b", [5,')
    assert write(tmp_path / "store", SOURCES[:2], stop=True)[0] == ["b"]
    assert write(tmp_path / "store", SOURCES)[0] == ["c"]


def test_no_resume_with_other_settings_or_files(tmp_path):
    write(tmp_path / "store", ["a", "b"], info={"x": 1}, stop=True)
    assert write(tmp_path / "store", SOURCES, info={"x": 2}, stop=True)[0] == SOURCES
    assert write(tmp_path / "store", SOURCES, info={"x": 2}, resume=False, stop=True)[0] == SOURCES
    with StoreWriter(tmp_path / "store", {"x": 2}, ["a", "new", "b", "c"]) as writer:
        assert writer.sources == ["a"]


def test_clips_that_do_not_fit_the_first_are_skipped():
    collector = ClipCollector({})
    collector.append(clip("a", subject=1))
    collector.append(clip("b", shape=(1, 4, 5, 2), subject=1))
    collector.append(clip("c", trial=1))
    collector.commit("file")
    store = collector.finish()
    assert store.names.tolist() == ["a"]
    assert [source for source, _ in store.skipped] == ["file", "file"]
    assert "[5, 2]" in store.skipped[0][1]
    assert "trial" in store.skipped[1][1]


def test_nothing_usable(tmp_path):
    with (
        pytest.raises(ValueError, match=r"none of 1 raw files.*\n.*a: it is broken"),
        StoreWriter(tmp_path / "store", {}, ["a"]) as writer,
    ):
        writer.skip("it\nis  broken")
        writer.commit("a")
        writer.finish()
    assert list(tmp_path.iterdir()) == []


def test_numpy_scalars_in_metadata(tmp_path):
    with StoreWriter(tmp_path / "store", {}, ["a"]) as writer:
        writer.append(clip("a", subject=np.int64(3), weight=np.float32(0.5)))
        writer.commit("a")
        store = writer.finish()
    assert (store.metadata["subject"][0], store.metadata["weight"][0]) == (3, 0.5)


def test_other_disk_errors_pass(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.EIO, "broken disk")

    with StoreWriter(tmp_path / "store", {}, ["a"]) as writer:
        writer.append(clip("a"))
        writer.commit("a")
        monkeypatch.setattr(np, "savez", fail)
        with pytest.raises(OSError, match=r"^.Errno 5. broken disk$"):
            writer.finish()


def test_journal_is_plain_json(tmp_path):
    write(tmp_path / "store", SOURCES[:1], stop=True)
    lines = (tmp_path / ".store.partial" / JOURNAL).read_text().splitlines()
    assert lines
    for line in lines:
        json.loads(line)
