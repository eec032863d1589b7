from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch

from pyg_fsar import Skeleton
from pyg_fsar.datasets import SkeletonArrays

RNG = np.random.default_rng(0)
CLIPS = [RNG.random((1 + n % 2, 4 + n, 25, 3)) + 0.5 for n in range(4)]


def test_clips_of_any_length():
    dataset = SkeletonArrays(CLIPS, [2, 0, 2, 1], class_names=["a", "b", "c"])
    assert dataset.labels.tolist() == [2, 0, 2, 1]
    assert dataset.names == ["0", "1", "2", "3"]
    assert dataset.skeleton.name == "ntu25"
    for clip, bodies in zip(dataset, CLIPS, strict=True):
        np.testing.assert_array_equal(clip.bodies, bodies.astype("f4"))


def test_one_array_of_all_and_tensors():
    clips = torch.rand(5, 2, 6, 20, 3)
    dataset = SkeletonArrays(clips, torch.tensor([0, 0, 1, 1, 1]), names=list("abcde"))
    assert dataset.skeleton.name == "kinect20"
    assert dataset.names == list("abcde")
    assert torch.equal(dataset[3].bodies, clips[3])
    dataset[3].x.zero_()
    assert torch.equal(dataset[3].bodies, clips[3])


def test_own_layout():
    stick = Skeleton("stick3-arrays", ("hip", "knee", "foot"), ((1, 0), (2, 1)))
    dataset = SkeletonArrays(np.ones((2, 1, 4, 3, 2)), [0, 1], skeleton=stick)
    assert dataset.skeleton is stick
    assert dataset[0].frame(0).edge_index.size(1) == 4
    with pytest.raises(ValueError, match=r"3 joints .*say which layout"):
        SkeletonArrays(np.ones((2, 1, 4, 3, 2)), [0, 1])


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (CLIPS[0][0], r"clip '1'.*bodies must be \[M, T, V, C\]"),
        (CLIPS[0][:, :0], "clip '1' is empty"),
        (CLIPS[0] * np.nan, "clip '1'.*NaN"),
        (CLIPS[0] * 0, "clip '1' is all zero"),
        (CLIPS[0][:, :, :20], "clip '1'"),
        (CLIPS[0][..., :2], "clip '1'"),
    ],
)
def test_a_broken_clip_is_an_error(clip, message):
    # Left out silently, it would shift the positions of those behind it.
    clips = [CLIPS[0], clip, CLIPS[1]]
    with pytest.raises(ValueError, match=message):
        SkeletonArrays(clips, [0, 1, 0])
    with pytest.warns(UserWarning, match=message):
        assert SkeletonArrays(clips, [0, 1, 0], skip_invalid=True).names == ["0", "2"]


def test_sizes_must_fit():
    with pytest.raises(ValueError, match="4 clips do not fit 3 labels and 4 names"):
        SkeletonArrays(CLIPS, [0, 1, 2])
    with pytest.raises(ValueError, match="there is no clip"):
        SkeletonArrays([], [])
    with pytest.raises(ValueError, match="4 clips do not fit 4 labels and 1 names"):
        SkeletonArrays(CLIPS, [0, 1, 2, 0], names=["a"])
    with pytest.raises(ValueError, match="label -1"):
        SkeletonArrays(CLIPS, [0, 1, 2, -1])


def test_labels_that_are_texts_are_refused_with_what_makes_numbers_of_them():
    labels = ["wave", "bow", "wave", "kick"]
    for texts in (labels, np.array(labels)):
        with pytest.raises(ValueError, match=r"'wave'; give both class_names, labels = numpy"):
            SkeletonArrays(CLIPS, texts)
    class_names, numbers = np.unique(labels, return_inverse=True)
    dataset = SkeletonArrays(CLIPS, numbers, class_names=class_names)
    assert [dataset.class_names[label] for label in dataset.labels] == labels


def test_pickle_holds_the_frames_once():
    clips = np.ones((4, 1, 50, 25, 3), "f4")
    dataset = SkeletonArrays(clips, [0, 1, 2, 3])
    assert len(pickle.dumps(dataset)) < clips.nbytes + 10_000


# files


@pytest.fixture
def files(tmp_path):
    """``(N, C, T, V, M)`` padded to 9 frames and 2 bodies."""
    data = np.zeros((4, 3, 9, 25, 2), "f4")
    for n, bodies in enumerate(CLIPS):
        data[n, :, : bodies.shape[1], :, : len(bodies)] = bodies.transpose(3, 1, 2, 0)
    np.save(tmp_path / "train_data.npy", data)
    np.save(tmp_path / "train_label.npy", [3, 4, 3, 5])
    np.save(tmp_path / "train_frame.npy", [len(bodies[0]) for bodies in CLIPS])
    names = [f"S{n}.skeleton" for n in range(4)]
    (tmp_path / "train_label.pkl").write_bytes(pickle.dumps((names, [3, 4, 3, 5]), protocol=2))
    return tmp_path


def check(dataset):
    assert dataset.labels.tolist() == [3, 4, 3, 5]
    for clip, bodies in zip(dataset, CLIPS, strict=True):
        np.testing.assert_array_equal(clip.bodies, bodies.astype("f4"))


def test_padding_is_cut_off(files):
    check(SkeletonArrays.from_npy(files / "train_data.npy", files / "train_label.npy"))


def test_names_from_a_pickle(files):
    dataset = SkeletonArrays.from_npy(files / "train_data.npy", files / "train_label.pkl")
    check(dataset)
    assert dataset.names[2] == "S2.skeleton"


def test_two_clips_and_a_plain_list_of_labels(files):
    data = np.load(files / "train_data.npy")[:2]
    np.save(files / "two.npy", data)
    for name, content in (("list", [1, 0]), ("tuple", (1, 0)), ("array", np.array([1, 0]))):
        (files / f"{name}.pkl").write_bytes(pickle.dumps(content))
        dataset = SkeletonArrays.from_npy(files / "two.npy", files / f"{name}.pkl")
        assert dataset.labels.tolist() == [1, 0]


def test_true_lengths_from_a_file(files):
    data, label, frame = (files / f"train_{part}.npy" for part in ("data", "label", "frame"))
    check(SkeletonArrays.from_npy(data, label, frame))
    np.save(frame, [2, 3, 0, 10])
    with pytest.warns(UserWarning, match="2 raw files or clips"):
        dataset = SkeletonArrays.from_npy(data, label, frame)
    assert [clip.num_frames for clip in dataset] == [2, 3]
    assert "0 are said to count" in dataset.skipped[0][1]
    np.save(frame, [2, 3])
    with pytest.raises(ValueError, match=r"train_frame\.npy has 2 entries for the 4 clips"):
        SkeletonArrays.from_npy(data, label, frame)


def test_empty_clip_is_skipped(files):
    data = np.load(files / "train_data.npy")
    data[1] = 0
    data[2, 0, 1, 3, 0] = np.nan
    np.save(files / "train_data.npy", data)
    with pytest.warns(UserWarning, match="clip '1' is empty"):
        dataset = SkeletonArrays.from_npy(files / "train_data.npy", files / "train_label.npy")
    assert dataset.names == ["0", "3"]
    assert "NaN" in dataset.skipped[1][1]


def test_classes(files):
    dataset = SkeletonArrays.from_npy(
        files / "train_data.npy", files / "train_label.npy", classes=[3]
    )
    assert dataset.names == ["0", "2"]


def test_store_on_disk(files):
    arguments = {"processed_dir": files / "stores", "label": files / "train_label.npy"}
    for _ in range(2):
        check(SkeletonArrays.from_npy(files / "train_data.npy", **arguments))
    assert (files / "stores" / "train_data" / "frames.f32").exists()
    np.save(files / "train_data.npy", np.load(files / "train_data.npy") + 1)
    with pytest.raises(ValueError, match="force_reload=True"):
        SkeletonArrays.from_npy(files / "train_data.npy", **arguments)
    dataset = SkeletonArrays.from_npy(files / "train_data.npy", **arguments, force_reload=True)
    assert dataset[0].num_frames == 9


class Malicious:
    def __reduce__(self):
        return os.system, ("exit 1",)


def test_broken_files(files):
    data, label = files / "train_data.npy", files / "train_label.npy"
    with pytest.raises(FileNotFoundError, match=r"none\.npy"):
        SkeletonArrays.from_npy(files / "none.npy", label)
    with pytest.raises(FileNotFoundError, match=r"none\.npy"):
        SkeletonArrays.from_npy(data, files / "none.npy")
    (files / "evil.pkl").write_bytes(pickle.dumps((["a"], [Malicious()])))
    with pytest.raises(ValueError, match=r"evil\.pkl.*run code"):
        SkeletonArrays.from_npy(data, files / "evil.pkl")
    np.save(files / "objects.npy", np.array([Malicious()]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"objects\.npy"):
        SkeletonArrays.from_npy(data, files / "objects.npy")
    np.save(files / "floats.npy", np.array([0.5] * 4))
    with pytest.raises(ValueError, match=r"floats\.npy must hold whole numbers"):
        SkeletonArrays.from_npy(data, files / "floats.npy")
    np.save(files / "few.npy", np.arange(3))
    with pytest.raises(ValueError, match=r"few\.npy has 3 labels for the 4 clips of .*train_data"):
        SkeletonArrays.from_npy(data, files / "few.npy")
    with pytest.raises(ValueError, match=r"must have the shape \(N, C, T, V, M\), not \(4,\)"):
        SkeletonArrays.from_npy(label, label)
    for size in (0, 50, 1000):
        (files / "cut.npy").write_bytes(data.read_bytes()[:size])
        with pytest.raises(ValueError, match=r"cut\.npy is not a whole \.npy file"):
            SkeletonArrays.from_npy(files / "cut.npy", label)
