from __future__ import annotations

import errno
import functools
import multiprocessing
import os
import pickle
import re
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.datasets import SkeletonArrays, base
from pyg_fsar.datasets.storage import JOURNAL, store_lock
from pyg_fsar.skeleton import SKELETONS, Skeleton

STORE = "processed/numpyclips"
PARTIAL = "processed/.numpyclips.partial"
FORK = multiprocessing.get_context("fork")


def expected(raw: Path, number: int) -> np.ndarray:
    return np.load(next(raw.glob(f"{number:03d}_*.npy"))).astype("f4")


def check_all(dataset, raw: Path) -> None:
    numbers = [int(path.stem[:3]) for path in sorted(raw.glob("*.npy"))]
    assert dataset.names == [f"clip{n}" for n in numbers]
    for n, clip in zip(numbers, dataset, strict=True):
        np.testing.assert_array_equal(clip.bodies, expected(raw, n))


# what a dataset offers


def test_items(reader, raw):
    dataset = reader(raw, class_names=["wave", "clap", "sit"])
    clip = dataset[5]
    assert isinstance(clip, SkeletonSequence)
    assert (clip.y, clip.name, clip.skeleton) == (2, "clip5", "ntu25")
    assert (clip.number, clip.side) == (5, "left")
    assert dataset.skeleton == Skeleton.get("ntu25")
    assert dataset.labels.dtype == torch.int64
    assert dataset.labels.tolist() == [0, 1, 2] * 4
    assert dataset.num_classes == 3
    assert dataset.class_names == ["wave", "clap", "sit"]
    assert dataset.skipped == []
    check_all(dataset, raw)


def test_views_are_consistent(reader, raw):
    dataset = reader(raw)
    for index in (slice(2, 9, 3), [7, 0, 7], torch.tensor([3, -1]), dataset.labels == 1):
        view = dataset[index]
        numbers = np.arange(12)[np.asarray(index) if not isinstance(index, slice) else index]
        assert len(view) == len(numbers)
        assert view.names == [f"clip{n}" for n in numbers]
        assert view.labels.tolist() == [n % 3 for n in numbers]
        assert view.metadata("number").tolist() == numbers.tolist()
        assert [clip.number for clip in view.gather(range(len(view)))] == numbers.tolist()
        assert view.store is dataset.store
    nested = dataset[4:][::2]
    assert nested.names == ["clip4", "clip6", "clip8", "clip10"]
    assert nested[-1].name == nested.gather([-1])[0].name == "clip10"
    with pytest.raises(IndexError):
        nested.gather([4])


def test_gather_equals_items(reader, raw):
    dataset = reader(raw)
    for indices in ([3, 3, 0, 11], [], torch.tensor([2, 5])):
        gathered = dataset.gather(indices)
        for index, clip in zip(indices, gathered, strict=True):
            assert clip.to_dict().keys() == dataset[int(index)].to_dict().keys()
            assert torch.equal(clip.x, dataset[int(index)].x)
            assert clip.num_bodies == dataset[int(index)].num_bodies
    assert [clip.name for clip in dataset.__getitems__([2, 1])] == ["clip2", "clip1"]


def test_items_own_their_memory(reader, raw):
    dataset = reader(raw)
    dataset[0].x.zero_()
    for clip in dataset.gather([0, 1]):
        clip.x.zero_()
    check_all(dataset, raw)


def test_transform_applies_once_per_clip(reader, raw):
    dataset = reader(raw, transform=lambda clip: clip.with_bodies(clip.bodies + 1))
    np.testing.assert_array_equal(dataset[3].bodies, expected(raw, 3) + 1)
    np.testing.assert_array_equal(dataset.gather([3])[0].bodies, expected(raw, 3) + 1)


def test_default_dtype(reader, raw):
    dataset = reader(raw)
    torch.set_default_dtype(torch.float64)
    try:
        assert dataset[0].x.dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_unknown_metadata(reader, raw):
    with pytest.raises(KeyError, match=r"'number', 'side'.*not 'subject'"):
        reader(raw).metadata("subject")


def test_ordinary_loaders(reader, raw):
    dataset = reader(raw)
    (batch,) = DataLoader(dataset, batch_size=12, num_workers=2)
    assert batch.y.tolist() == dataset.labels.tolist()
    assert batch.num_bodies.tolist() == [1, 2] * 6
    assert batch.side == ["left"] * 12


def test_pickle_does_not_copy_the_frames(tmp_path):
    # A worker process that is not forked gets the dataset by pickle.
    clips = np.random.default_rng(0).random((3, 1, 40, 25, 3))
    dataset = SkeletonArrays(clips, [0, 1, 0], processed_dir=tmp_path)
    data = pickle.dumps(dataset[1:])
    assert len(data) < 10_000
    for clip, bodies in zip(pickle.loads(data), clips[1:], strict=True):
        np.testing.assert_array_equal(clip.bodies, bodies.astype("f4"))


def test_pickle_brings_its_own_layout_along():
    stick = Skeleton("stick_of_workers", ("hip", "knee"), bones=((1, 0),))
    data = pickle.dumps(SkeletonArrays([np.ones((1, 3, 2, 3))], [0], skeleton=stick))
    del SKELETONS["stick_of_workers"]  # as in a worker process that is not forked
    assert pickle.loads(data)[0].frame(0).edge_index.tolist() == [[1, 0], [0, 1]]


# reading


@pytest.mark.parametrize("batch", [1, 5, 16])
def test_parallel_reading_keeps_the_order(reader, raw, monkeypatch, batch):
    monkeypatch.setattr(base, "FILES_PER_BATCH", batch)
    rng = torch.get_rng_state()
    dataset = reader(raw, num_workers=2)
    assert torch.equal(torch.get_rng_state(), rng)
    check_all(dataset, raw)


def test_a_store_much_larger_than_any_buffer(reader, tmp_path):
    rng = np.random.default_rng(0)
    for n in range(40):
        np.save(tmp_path / f"{n:03d}_0.npy", rng.random((2, 300, 25, 3), "f4"))
    dataset = reader(tmp_path, num_workers=2)
    assert (tmp_path / STORE / "frames.f32").stat().st_size == 40 * 2 * 300 * 25 * 3 * 4
    check_all(dataset, tmp_path)


def test_raw_files_are_read_once(reader, raw, files_read):
    reader(raw)
    assert len(files_read()) == 12
    for path in raw.glob("*.npy"):
        path.unlink()
    assert len(reader(raw)) == 12  # the store is enough
    assert files_read() == []


def test_in_memory(reader, raw, files_read):
    class InMemory(reader):
        def __init__(self, folder):
            self.folder = folder
            super().__init__(None)

        @property
        def root(self):
            return self.folder

        @root.setter
        def root(self, value):
            pass

    check_all(InMemory(raw), raw)
    assert not (raw / "processed").exists()


def nan(bodies):
    bodies[0, 1, 2, 0] = np.nan
    return bodies


BROKEN = {
    "nan": (nan, "frame 1, joint 2 .neck. is NaN"),
    "infinite": (lambda b: b * np.float64(1e300), "infinite"),
    "joints": (lambda b: b[:, :, :20], "20 joints.*'ntu25' has 25"),
    "no frame": (lambda b: b[:, :0], "empty"),
    "no body": (lambda b: b[:0], "empty"),
    "axes": (lambda b: b[0], "bodies must be"),
    "zero": (lambda b: b * 0, "all zero"),
    "text": (lambda b: np.full((1, 4, 25, 3), "x"), "could not convert"),
    "channels": (lambda b: b[..., :2], r"\[25, 2\]"),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("num_workers", [0, 2])
def test_broken_clip_is_skipped_with_its_reason(reader, raw, kind, num_workers):
    break_it, reason = BROKEN[kind]
    np.save(raw / "003_0.npy", break_it(expected(raw, 3)))
    with pytest.warns(UserWarning, match="1 raw files or clips of 12 .*003_0.npy.*skipped.json"):
        dataset = reader(raw, skeleton="ntu25", num_workers=num_workers)
    ((file, why),) = dataset.skipped
    assert file == "003_0.npy"
    assert re.search(reason, why)
    assert dataset.names == [f"clip{n}" for n in range(12) if n != 3]
    np.testing.assert_array_equal(dataset[3].bodies, expected(raw, 4))
    assert reader(raw, skeleton="ntu25").skipped == dataset.skipped


def test_truncated_and_unreadable_files_are_skipped(reader, raw):
    whole = (raw / "001_1.npy").read_bytes()
    (raw / "001_1.npy").write_bytes(whole[: len(whole) // 2])
    (raw / "002_2.npy").unlink()
    (raw / "002_2.npy").mkdir()
    with pytest.warns(UserWarning, match="2 raw files"):
        dataset = reader(raw)
    assert [file for file, _ in dataset.skipped] == ["001_1.npy", "002_2.npy"]
    assert len(dataset) == 10


def test_zero_body_is_dropped(reader, raw):
    bodies = expected(raw, 1)
    np.save(raw / "001_1.npy", np.stack([bodies[0] * 0, bodies[0], bodies[1] * 0]))
    dataset = reader(raw)
    np.testing.assert_array_equal(dataset[1].bodies, bodies[:1])
    assert dataset.skipped == []


@pytest.mark.parametrize(("label", "names"), [(-1, ()), (3, ("a", "b", "c"))])
def test_label_out_of_range_is_skipped(reader, raw, label, names):
    (raw / "000_0.npy").rename(raw / f"000_{label}.npy")
    with pytest.warns(UserWarning, match=f"label {label}"):
        assert len(reader(raw, class_names=names)) == 11


def test_a_mistake_in_a_reader_is_not_hidden(reader, raw):
    class Mistaken(reader):
        def read_raw(self, file):
            raise AttributeError("a typing error")

    with pytest.raises(AttributeError, match="a typing error"):
        Mistaken(raw)


def test_nothing_usable(reader, raw):
    for path in raw.glob("*.npy"):
        np.save(path, np.zeros((1, 4, 25, 3)))
    with pytest.raises(ValueError, match=r"none of 12 raw files(.|\n)*000_0.npy: .*all zero"):
        reader(raw)
    assert not (raw / STORE).exists()
    assert not (raw / PARTIAL).exists()


def test_root_without_data(reader, tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"^no \*\.npy in {tmp_path}"):
        reader(tmp_path)
    missing = tmp_path / "missing"
    with pytest.raises(FileNotFoundError, match=f"^there is no folder {missing}: no .*npy in"):
        reader(missing)

    class Forgetful(reader):
        def raw_files(self):
            return []

    with pytest.raises(FileNotFoundError, match=f"^found no raw files in {tmp_path}$"):
        Forgetful(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"^there is no folder {missing}: found no raw"):
        Forgetful(missing)
    assert list(tmp_path.iterdir()) == []


def test_layout_by_number_of_joints(reader, raw):
    assert reader(raw).skeleton.name == "ntu25"
    with pytest.raises(ValueError, match="25 joints, but skeleton 'coco17'"):
        reader(raw, skeleton="coco17")
    with pytest.raises(ValueError, match="unknown skeleton layout 'ntu26'"):
        reader(raw, skeleton="ntu26")


def test_no_usual_layout_for_this_number_of_joints(reader, raw):
    np.save(raw / "000_0.npy", np.ones((1, 3, 7, 3)))
    with pytest.warns(UserWarning, match="7 joints .*say which layout"):
        reader(raw)


# the store's life


def test_new_raw_files_are_noticed(reader, raw):
    reader(raw)
    np.save(raw / "100_0.npy", np.ones((1, 3, 25, 3)))
    with pytest.warns(UserWarning, match=r"1 raw files .* 100_0.npy; pass force_reload=True"):
        assert len(reader(raw)) == 12
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(reader(raw, force_reload=True)) == 13
        assert len(reader(raw)) == 13


def test_other_settings_are_refused(reader, raw):
    reader(raw, settings={"max_bodies": 1})
    with pytest.raises(ValueError, match=r"max_bodies.*force_reload=True.*processed_dir"):
        reader(raw, settings={"max_bodies": 2})
    reader(raw, settings={"max_bodies": 2}, force_reload=True)
    reader(raw, settings={"max_bodies": 1}, processed_dir=raw / "other")


def test_damaged_store_names_the_cure(reader, raw):
    reader(raw)
    (raw / STORE / "info.json").unlink()
    with pytest.raises(ValueError, match="force_reload=True"):
        reader(raw)
    check_all(reader(raw, force_reload=True), raw)


@pytest.mark.parametrize("outdated", [False, True])
def test_root_without_write_permission(outdated, reader, raw, tmp_path, monkeypatch):
    monkeypatch.setenv("PYG_HOME", str(tmp_path / "cache"))
    log = (raw / "log.txt").open("w")  # the reader's notes go on
    if outdated:  # a store that cannot be replaced where it is
        (raw / STORE).mkdir(parents=True)
        (raw / STORE / "info.json").write_text('{"format": 1}')
        os.chmod(raw / "processed", 0o555)  # noqa: PTH101
    os.chmod(raw, 0o555)  # noqa: PTH101
    try:
        with pytest.warns(UserWarning, match=f"{raw} cannot be written; .*{tmp_path / 'cache'}"):
            dataset = reader(raw)
        check_all(dataset, raw)
        assert (raw / "processed").exists() == outdated
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_all(reader(raw), raw)
    finally:
        log.close()
        os.chmod(raw, 0o755)  # noqa: PTH101
        if outdated:
            os.chmod(raw / "processed", 0o755)  # noqa: PTH101


class FullDisk:
    """A file that accepts so many bytes, then reports a full disk, part of a write being done."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        data = bytes(data)
        self.file.write(data[: self.room])
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)


def fill_disk(monkeypatch, name: str, room: int) -> None:
    plain_open = Path.open

    def open_(path, *args, **kwargs):
        file = plain_open(path, *args, **kwargs)
        return FullDisk(file, room) if path.name == name else file

    monkeypatch.setattr(Path, "open", open_)


@pytest.mark.parametrize("name", ["frames.f32", JOURNAL])
def test_full_disk(reader, raw, files_read, monkeypatch, name):
    with monkeypatch.context() as patch:
        fill_disk(patch, name, room=10_000 if name == "frames.f32" else 500)
        with pytest.raises(OSError, match=r"MiB are free, about .* MiB more are needed") as caught:
            reader(raw)
    assert caught.value.errno == errno.ENOSPC
    assert str(raw / "processed") in str(caught.value)
    assert "processed_dir" in str(caught.value)
    assert not (raw / STORE).exists()
    done = len(files_read()) - 1  # that which did not fit is read again
    assert 0 < done < 11
    check_all(reader(raw), raw)
    assert len(files_read()) == 12 - done


def test_full_disk_leaves_the_earlier_store(reader, raw, monkeypatch):
    reader(raw)
    before = {path.name: path.read_bytes() for path in (raw / STORE).iterdir()}
    np.save(raw / "000_0.npy", np.ones((1, 3, 25, 3)))
    with monkeypatch.context() as patch:
        fill_disk(patch, "frames.f32", room=10_000)
        with pytest.raises(OSError, match="no space left"):
            reader(raw, force_reload=True)
    assert {path.name: path.read_bytes() for path in (raw / STORE).iterdir()} == before
    with pytest.raises(ValueError, match=r"000_0\.npy.*force_reload=True"):
        reader(raw)  # of the raw file as it is now the store knows nothing
    assert not (raw / PARTIAL).exists()  # nothing will take it up: a store is there


def test_force_reload_takes_up_nothing(reader, raw, files_read, monkeypatch):
    reader(raw)
    with monkeypatch.context() as patch:
        fill_disk(patch, "frames.f32", room=10_000)
        with pytest.raises(OSError, match="no space left"):
            reader(raw, force_reload=True)
    np.save(raw / "000_0.npy", np.ones((1, 3, 25, 3)))
    files_read()
    check_all(reader(raw, force_reload=True), raw)
    assert len(files_read()) == 12


def test_full_disk_before_the_first_file(reader, raw, monkeypatch):
    with monkeypatch.context() as patch:
        fill_disk(patch, "frames.f32", room=10)
        with pytest.raises(OSError, match="no space left"):
            reader(raw)
    assert not (raw / PARTIAL).exists()


def slowed(reader, seconds):
    class Slow(reader):
        def read_raw(self, file):
            time.sleep(seconds)
            return super().read_raw(file)

    Slow.__name__ = "NumpyClips"
    return Slow


def start(make) -> multiprocessing.process.BaseProcess:
    process = FORK.Process(target=make)
    process.start()
    return process


def wait_for(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("earlier_store", [False, True])
def test_kill_during_processing(reader, raw, files_read, num_workers, earlier_store, monkeypatch):
    monkeypatch.setattr(base, "FILES_PER_BATCH", 1)
    if earlier_store:
        reader(raw)
        files_read()
    make = functools.partial(
        slowed(reader, 0.05), raw, num_workers=num_workers, force_reload=earlier_store
    )
    process = start(make)
    journal = raw / PARTIAL / JOURNAL
    wait_for(lambda: journal.exists() and journal.read_bytes().count(b"\n") > 3)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert (raw / STORE).exists() == earlier_store
    done = journal.read_bytes().count(b"\n") - 1
    files_read()
    check_all(reader(raw), raw)
    again = files_read(by=os.getpid())  # orphaned workers may still finish what they are at
    if earlier_store:
        assert again == []
        assert not (raw / PARTIAL).exists()
    else:
        assert again == sorted(path.name for path in raw.glob("*.npy"))[done:]


def test_two_processes_at_once(reader, raw, files_read):
    processes = [start(functools.partial(slowed(reader, 0.02), raw)) for _ in range(3)]
    for process in processes:
        process.join(20)
        assert process.exitcode == 0
    assert len(files_read()) == 12  # one made the store, the others waited
    check_all(reader(raw), raw)


def test_stale_folder_of_a_running_process_stays(reader, raw):
    reader(raw)
    partial = raw / PARTIAL
    partial.mkdir()
    with store_lock(raw / STORE):
        reader(raw)
        assert partial.exists()
    reader(raw)
    assert not partial.exists()


def test_empty_selection_warns(reader, raw):
    dataset = reader(raw)
    with pytest.warns(UserWarning, match=r"is empty: the store holds the classes \[0, 1, 2\]"):
        dataset.select(np.zeros(12, dtype=bool))
    assert (len(dataset), dataset.labels.tolist(), dataset.names) == (0, [], [])
