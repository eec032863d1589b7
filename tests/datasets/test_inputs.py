"""A store knows all that it was made from: over all datasets and all of their inputs."""

from __future__ import annotations

import os
import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from pyg_fsar.datasets import KineticsSkeleton, PYSKLPickle, SkeletonArrays, SkeletonStore
from pyg_fsar.datasets.inputs import Stamp, fingerprint
from pyg_fsar.datasets.storage import INPUTS, SKIPPED, write_info


def inputs(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_file())


def frames(dataset) -> np.ndarray:
    return dataset.store.frames.copy()


def test_the_same_files_open_without_a_word(case, root):
    first = case.open(root)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = case.open(root)
    np.testing.assert_array_equal(frames(again), frames(first))
    assert again.labels.tolist() == first.labels.tolist()
    again.verify()


def test_of_unchanged_files_the_list_is_not_read(case, root, monkeypatch):
    case.open(root)

    def inputs(_):
        raise RuntimeError("the list was read")

    monkeypatch.setattr(SkeletonStore, "inputs", inputs)
    case.open(root)
    path = next(path for path in root.iterdir() if path.is_file())
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    with pytest.raises(RuntimeError, match="the list was read"):
        case.open(root)


def test_a_fingerprint_tells_names_sizes_and_times():
    stamps = [("a", Stamp(1, 23)), ("b", Stamp(45, 6))]
    digested = [(file, stamp._replace(digest=7)) for file, stamp in stamps]
    assert fingerprint(stamps) == fingerprint(reversed(digested))
    others = [
        stamps[:1],
        [],
        [("a", Stamp(12, 3)), stamps[1]],
        [("a", Stamp(1, 24)), stamps[1]],
        [("a", Stamp(45, 6)), ("b", Stamp(1, 23))],
        [("\udcff", Stamp(1, 23)), stamps[1]],  # a name that is not UTF-8
    ]
    assert len({fingerprint(other) for other in [stamps, *others]}) == 1 + len(others)


def test_a_store_without_a_fingerprint_knows_its_files(cases, tmp_path):
    case = cases["utd"]
    case.make(tmp_path)
    store = case.open(tmp_path).store
    info = {key: value for key, value in store.info.items() if key != "fingerprint"}
    write_info(
        store.path, info, {name: (store.path / name).read_text() for name in (INPUTS, SKIPPED)}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        case.open(tmp_path)
    inputs(tmp_path)[0].write_bytes(b"")
    with pytest.raises(ValueError, match=r"force_reload=True"):
        case.open(tmp_path)


def test_every_changed_input_is_noticed(case, root):
    case.open(root)
    for path in inputs(root):
        before, times = path.read_bytes(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
        # Same size, other content, other time; and other size.
        for content in (before[:-40] + bytes(b ^ 1 for b in before[-40:]), before + b" "):
            path.write_bytes(content)
            os.utime(path, ns=(times[0], times[1] + 10**9))
            with pytest.raises(ValueError, match=r"force_reload=True") as caught:
                case.open(root)
            assert path.name in str(caught.value)
            assert len(str(caught.value)) < 500
        path.write_bytes(before)
        os.utime(path, ns=times)
        case.open(root)


def test_a_copy_without_file_times_opens(case, root, tmp_path):
    first = case.open(root)
    copy = tmp_path / "copy"
    shutil.copytree(root, copy, copy_function=shutil.copyfile)
    for number, path in enumerate(inputs(copy)):
        os.utime(path, (10**9 + number, 10**9 + number))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(frames(case.open(copy)), frames(first))


def test_the_raw_data_may_be_deleted(case, root):
    first = case.open(root)
    for path in inputs(root):
        path.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = case.open(root)
    assert again.labels.tolist() == first.labels.tolist()
    with pytest.raises(FileNotFoundError):
        case.open(root, force_reload=True)
    np.testing.assert_array_equal(frames(case.open(root)), frames(first))  # it lost nothing


def test_another_root_under_the_same_store(case, root, tmp_path):
    case.open(root, processed_dir=tmp_path / "store")
    other = tmp_path / "other"
    other.mkdir()
    case.make(other)
    with pytest.raises(ValueError, match="force_reload=True"):
        case.open(other, processed_dir=tmp_path / "store")
    again = case.open(other, processed_dir=tmp_path / "store", force_reload=True)
    np.testing.assert_array_equal(frames(again), frames(case.open(other)))


@pytest.mark.parametrize("name", ["pyskl", "npy", "npz"])
def test_class_names_belong_to_it(cases, name, tmp_path):
    case = cases[name]
    case.make(tmp_path)
    assert case.open(tmp_path, class_names={1: "sit", 0: "stand"}).class_names == ["stand", "sit"]
    assert case.open(tmp_path).class_names == ["stand", "sit"]
    with pytest.raises(ValueError, match=r"other class_names.*force_reload=True"):
        case.open(tmp_path, class_names=["sit", "stand"])
    case.open(tmp_path, class_names=["sit", "stand"], force_reload=True)


def test_arrays_are_an_input_too(make_bodies, tmp_path):
    def make(clips, labels=(0, 1), **kwargs):
        return SkeletonArrays(clips, labels, processed_dir=tmp_path, **kwargs)

    clips = [make_bodies(), make_bodies()]
    make(clips)
    make([clip.copy() for clip in clips])
    masked = np.ma.array(clips[0], mask=clips[0] > 3)
    for other in (
        lambda: make([clips[1], clips[0]]),
        lambda: make(clips, labels=(1, 0)),
        lambda: make(clips, names=["a", "b"]),
        lambda: make([masked, clips[1]]),
    ):
        with pytest.raises(ValueError, match=r"other settings, arrays .*force_reload=True"):
            other()


def test_a_frame_file_added_later(cases, tmp_path):
    cases["npy"].make(tmp_path)
    data, label, frame = (tmp_path / f"x_{part}.npy" for part in ("data", "label", "frame"))
    SkeletonArrays.from_npy(data, label, processed_dir=tmp_path)
    with pytest.raises(ValueError, match=r"frame .*x_frame\.npy.*force_reload=True"):
        SkeletonArrays.from_npy(data, label, frame, processed_dir=tmp_path)


def test_a_label_file_added_later(cases, tmp_path):
    cases["kinetics"].make(tmp_path)
    table = (tmp_path / "kinetics_val_label.json").rename(tmp_path / "kept")
    assert set(KineticsSkeleton(tmp_path, split="all").labels.tolist()) == {1}
    table.rename(tmp_path / "kinetics_val_label.json")
    with pytest.raises(ValueError, match=r"kinetics_val_label\.json.*force_reload=True"):
        KineticsSkeleton(tmp_path, split="all")


def test_files_that_came_or_went_give_a_warning(cases, tmp_path):
    case = cases["utd"]
    case.make(tmp_path)
    case.open(tmp_path)
    (tmp_path / "a1_s1_t1_skeleton.mat").rename(tmp_path / "a9_s1_t1_skeleton.mat")
    with pytest.warns(UserWarning) as caught:
        assert len(case.open(tmp_path)) == 4
    messages = [str(warning.message) for warning in caught]
    assert ["are new in" in m or "have gone from" in m for m in messages] == [True, True]
    assert "a9_s1" in messages[0] and "a1_s1" in messages[1]


def test_times_alone_where_there_is_too_much_to_read(cases, tmp_path, monkeypatch):
    monkeypatch.setattr("pyg_fsar.datasets.inputs.DIGESTED", 0)
    case = cases["utd"]
    case.make(tmp_path)
    case.open(tmp_path)
    paths = inputs(tmp_path)
    os.utime(paths[0], (10**9, 10**9))
    with pytest.raises(ValueError, match=r"a1_s1_t1_skeleton\.mat.*force_reload=True"):
        case.open(tmp_path)  # one file was written to
    for path in paths:
        os.utime(path, (10**9, 10**9))
    with pytest.warns(UserWarning, match="4 raw files have other times, as after a copy"):
        case.open(tmp_path)


def test_keypoints_in_pickles_of_their_own(tmp_path):
    people = {"keypoint": np.ones((4, 17, 3), "f4"), "frame_inds": np.arange(4)}
    (tmp_path / "v0.kp.pkl").write_bytes(pickle.dumps(people))
    entry = {"frame_dir": "v0", "label": 0, "total_frames": 4, "raw_file": "far/away/v0.kp.pkl"}
    (tmp_path / "k400.pkl").write_bytes(pickle.dumps([entry]))
    assert len(PYSKLPickle(tmp_path / "k400.pkl")) == 1
    (tmp_path / "v0.kp.pkl").write_bytes(pickle.dumps(people) + b" ")
    with pytest.raises(ValueError, match=r"v0\.kp\.pkl.*force_reload=True"):
        PYSKLPickle(tmp_path / "k400.pkl")
