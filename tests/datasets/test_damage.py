"""Damage of any kind is noticed, named, and ends nothing but the clip that it hit."""

from __future__ import annotations

import json
import shutil
import warnings

import numpy as np
import pytest

from pyg_fsar.datasets import storage
from pyg_fsar.datasets.storage import JOURNAL, SkeletonStore
from pyg_fsar.datasets.writing import StoreWriter


def flip(path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def content_of(dataset):
    store = dataset.store
    return (
        store.frames.tobytes(), store.offsets.tolist(), store.num_bodies.tolist(),
        store.names.tolist(), store.labels.tolist(), store.skipped, store.inputs(),
        {key: column.tolist() for key, column in store.metadata.items()},
        dataset.class_names, dataset.skeleton,
    )  # fmt: skip


@pytest.mark.parametrize(
    "file", ["frames.f32", "index.npz", "info.json", "inputs.json", "skipped.json"]
)
def test_one_flipped_bit_in_a_store_is_noticed(case, root, file):
    whole = content_of(case.open(root))
    (path,) = (root / "processed").glob(f"*/{file}")
    rng = np.random.default_rng(0)
    before, refused = path.read_bytes(), 0
    for bit in rng.integers(0, 8 * len(before), 40):
        flip(path, int(bit))
        try:
            dataset = case.open(root)
            dataset.verify()
            found = content_of(dataset)
        except ValueError as error:
            refused += 1
            assert "force_reload=True" in str(error)
            assert len(str(error)) < 500
        else:
            assert found == whole  # a bit without a meaning, such as a time in the index
        path.write_bytes(before)
    assert refused > 30 if file != "index.npz" else refused
    assert content_of(case.open(root)) == whole


@pytest.mark.parametrize(
    "changes",
    [
        {"offsets": np.array([0, 8, 12, 16, 20])},
        {"offsets": np.array([0, 4, 2, 12, 16])},
        {"offsets": np.array([0, 4, 8, 16])},
        {"offsets": np.array([0.0, 4, 8, 12, 16])},
        {"num_bodies": np.array([1, 1, 1, 3])},
        {"num_bodies": np.array([1, 1, 1, 0])},
        {"labels": np.array([0, 1, 0, 2**40])},
        {"labels": np.array([0, 1, 0, -1])},
        {"labels": np.array([["0", "1", "0", "1"]])},
        {"names": np.array(["a"])},
        {"names": np.array([b"a", b"b", b"c", b"d"])},
        {"metadata.action": np.array([1])},
    ],
    ids=str,
)
def test_an_index_with_right_checksums_is_checked_too(cases, tmp_path, changes):
    case = cases["utd"]
    case.make(tmp_path)
    index = case.open(tmp_path).store.path / "index.npz"
    with np.load(index) as columns:
        np.savez(index, **{**columns, **changes})
    with pytest.raises(ValueError, match=r"the store at .* force_reload=True"):
        case.open(tmp_path)


def test_frames_of_a_large_store_are_verified_as_they_are_read(cases, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "VERIFIED_AT_ONCE", 0)
    case = cases["utd"]
    case.make(tmp_path)
    path = case.open(tmp_path).store.path
    flip(path / "frames.f32", 8 * 300)  # in the first clip
    dataset = case.open(tmp_path)
    assert dataset[3].x.isfinite().all()
    for read in (lambda: dataset[0], lambda: dataset.gather([1, 0]), dataset.verify):
        with pytest.raises(ValueError, match=r"clip 'a1_s1_t1' .* is damaged.*force_reload=True"):
            read()


# an interrupted build


@pytest.fixture
def interrupted(reader, raw, monkeypatch):
    """A store of which the last raw files are still to be read."""

    class Interrupted(reader):
        def read_raw(self, file):
            if file.startswith("009"):
                raise KeyboardInterrupt
            return super().read_raw(file)

    Interrupted.__name__ = reader.__name__
    with pytest.raises(KeyboardInterrupt):
        Interrupted(raw)
    (raw / "log.txt").unlink()
    return raw / "processed" / ".numpyclips.partial"


def test_a_damaged_journal_resumes_from_its_last_whole_line(reader, raw, interrupted, tmp_path):
    whole = content_of(reader(raw, processed_dir=tmp_path / "other"))
    rng = np.random.default_rng(0)
    kept = tmp_path / "kept"
    shutil.copytree(interrupted, kept)
    for file in (JOURNAL, "frames.f32"):
        for bit in rng.integers(0, 8 * (kept / file).stat().st_size, 25):
            shutil.rmtree(raw / "processed")
            shutil.copytree(kept, interrupted)
            flip(interrupted / file, int(bit))
            assert content_of(reader(raw)) == whole


def test_a_raw_file_changed_meanwhile_is_read_again(reader, raw, interrupted, files_read):
    np.save(raw / "004_1.npy", np.ones((1, 3, 25, 3)))
    dataset = reader(raw)
    assert files_read() == sorted(path.name for path in raw.glob("*.npy"))[4:]
    assert (dataset[4].x == 1).all()


def test_every_line_of_the_journal_has_a_checksum(interrupted):
    lines = (interrupted / JOURNAL).read_text().splitlines()
    assert len(lines) == 10
    for line in lines:
        checksum, entry = json.loads(line)
        assert checksum == storage.checksum(json.dumps(entry).encode())


def test_a_shared_file_changed_meanwhile_begins_anew(tmp_path):
    def write(time, stop):
        shared = {"labels": storage.Stamp(3, time)}
        with StoreWriter(tmp_path / "s", {}, ["a", "b"], shared=shared) as writer:
            done = len(writer.sources)
            for source in ["a", "b"][done : 1 if stop else 2]:
                writer.append(storage.RawClip(source, np.ones((1, 2, 3, 3), "f4"), 0))
                writer.commit(source)
            return done if stop else writer.finish()

    assert [write(1, True), write(1, True), write(2, True), write(2, True)] == [0, 1, 0, 1]
    assert len(write(2, False)) == 2


# raw files


def test_no_damage_of_one_raw_file_ends_the_build(case, root):
    """Mutants of every input: the build goes on without it, or the file is refused by name."""
    rng = np.random.default_rng(0)
    paths = sorted(path for path in root.iterdir() if path.is_file())
    for path in paths[:1] + paths[-1:]:
        before = path.read_bytes()
        for number in range(40):
            damaged = bytearray(before)
            for at in rng.integers(0, len(before), rng.integers(1, 5)):
                damaged[at] = rng.integers(256)
            if number % 4 == 0:
                del damaged[rng.integers(0, len(before)) :]
            path.write_bytes(damaged)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                try:
                    dataset = case.open(root, force_reload=True)
                except (ValueError, FileNotFoundError) as error:
                    assert len(str(error)) < 500
                    assert path.stem.lower() in str(error).lower() or "raw files" in str(error)
                else:
                    assert all(clip.x.isfinite().all() for clip in dataset)
                    assert all(len(reason) <= 300 for _, reason in dataset.skipped)
        path.write_bytes(before)
    assert len(case.open(root, force_reload=True)) == 4


def test_a_store_of_an_older_version_is_made_anew(case, root):
    whole = content_of(case.open(root))
    path = root / "processed" / case.open(root).store_name
    old = json.dumps({"format": 1, "frame_shape": [25, 3]})
    (path / "info.json").write_text(old)
    with pytest.raises(ValueError, match=r"its format is 1, .*force_reload=True"):
        SkeletonStore.open(path)
    assert content_of(case.open(root)) == whole


def test_an_older_store_without_its_raw_files_is_kept_and_named(case, root):
    path = case.open(root).store.path
    (path / "info.json").write_text(json.dumps({"format": 1}))
    for file in root.iterdir():
        if file.name != "processed":
            shutil.rmtree(file) if file.is_dir() else file.unlink()
    with pytest.raises(FileNotFoundError, match=r"older version .* cannot be made anew"):
        case.open(root)
    assert path.is_dir()


def test_a_store_of_a_newer_version_is_kept(case, root):
    path = case.open(root).store.path
    (path / "info.json").write_text(json.dumps({"format": 3}))
    with pytest.raises(ValueError, match=r"its format is 3, .*force_reload=True"):
        case.open(root)
