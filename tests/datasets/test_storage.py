from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch

from pyg_fsar.datasets.storage import INDEX, INFO, RawClip, SkeletonStore, store_lock
from pyg_fsar.datasets.writing import ClipCollector, StoreWriter

CLIPS = [
    RawClip(f"c{n}", np.random.default_rng(n).random((1 + n % 2, 3 + n, 5, 2), "f4"), n, {"s": n})
    for n in range(6)
]


@pytest.fixture
def path(tmp_path):
    target = tmp_path / "store"
    with store_lock(target), StoreWriter(target, {"a": 1}, ["one", "two"]) as writer:
        for source, clips in (("one", CLIPS[:4]), ("two", CLIPS[4:])):
            for clip in clips:
                writer.append(clip)
            writer.commit(source)
        writer.finish()
    return target


def test_gather_returns_the_clips(path):
    store = SkeletonStore.open(path)
    numbers = [4, 1, 1, 5]
    for number, bodies in zip(numbers, store.gather(numbers), strict=True):
        np.testing.assert_array_equal(bodies, CLIPS[number].bodies)
    assert store.gather([]) == []
    assert store.labels.tolist() == [*range(6)]
    assert store.names.tolist() == [clip.name for clip in CLIPS]
    assert store.metadata["s"].tolist() == [*range(6)]
    assert store.sources.tolist() == ["one", "two"]
    assert store.info["a"] == 1


def test_gather_owns_its_memory(path):
    store = SkeletonStore.open(path)
    first, again = store.gather([2, 2])
    first.zero_()
    np.testing.assert_array_equal(again, CLIPS[2].bodies)
    np.testing.assert_array_equal(store.gather([2])[0], CLIPS[2].bodies)
    assert not store.frames.flags.writeable


def test_memory_and_disk_agree(path):
    collector = ClipCollector({})
    for clip in CLIPS:
        collector.append(clip)
    collector.commit("all")
    memory, disk = collector.finish(), SkeletonStore.open(path)
    for a, b in zip(memory.gather(range(6)), disk.gather(range(6)), strict=True):
        assert torch.equal(a, b)
    assert pickle.loads(pickle.dumps(memory)).frames.shape == disk.frames.shape


def test_pickle_maps_the_file_again(path):
    store = SkeletonStore.open(path)
    store.frames = np.broadcast_to(store.frames, (1000, *store.frames.shape))  # large if copied
    data = pickle.dumps(store)
    assert len(data) < 20_000
    copy = pickle.loads(data)
    np.testing.assert_array_equal(copy.gather([3])[0], CLIPS[3].bodies)
    assert isinstance(copy.frames.base, np.memmap)


def test_no_store(tmp_path):
    with pytest.raises(FileNotFoundError, match="no store"):
        SkeletonStore.open(tmp_path / "none")


@pytest.mark.parametrize("damage", ["frames", "index", "info", "gone", "format"])
def test_damaged_store_is_refused(path, damage):
    if damage == "frames":
        with (path / "frames.f32").open("rb+") as file:
            file.truncate(100)
    elif damage == "index":
        (path / INDEX).write_bytes((path / INDEX).read_bytes()[:200])
    elif damage == "info":
        (path / INFO).write_text('{"format"')
    elif damage == "gone":
        (path / INDEX).unlink()
    else:
        info = json.loads((path / INFO).read_text())
        (path / INFO).write_text(json.dumps({**info, "format": 0}))
    with pytest.raises(ValueError, match="force_reload=True") as caught:
        SkeletonStore.open(path)
    assert str(path) in str(caught.value)


def test_interrupted_replacement_is_undone(path):
    path.rename(path.with_name(".store.old"))  # as if killed between the two renamings
    with store_lock(path):
        assert len(SkeletonStore.open(path)) == 6
    assert not path.with_name(".store.old").exists()
