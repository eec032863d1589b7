from __future__ import annotations

import os
import pickle

import numpy as np
import pytest

from pyg_fsar.datasets import PYSKLPickle


def annotation(n, joints=17, channels=2, **changes):
    rng = np.random.default_rng(n)
    M, T = 1 + n % 2, 3 + n
    entry = {
        "frame_dir": f"v{n}",
        "total_frames": T,
        "img_shape": (100, 200),
        "label": n % 3,
        "keypoint": rng.uniform(1, 90, (M, T, joints, channels)).astype("f2"),
    }
    if channels == 2:
        entry["keypoint_score"] = rng.uniform(0.1, 1, (M, T, joints)).astype("f2")
    return entry | changes


def save(tmp_path, annotations, split=None, name="set.pkl"):
    path = tmp_path / name
    content = annotations if split is None else {"split": split, "annotations": annotations}
    path.write_bytes(pickle.dumps(content))
    return path


SPLIT = {"xsub_train": ["v0", "v1", "v2"], "xsub_val": ["v3", "v4"], "odd": ["v1", "v3"]}


def test_items(tmp_path):
    annotations = [annotation(n) for n in range(5)]
    dataset = PYSKLPickle(save(tmp_path, annotations, SPLIT))
    assert dataset.names == [f"v{n}" for n in range(5)]
    assert dataset.labels.tolist() == [0, 1, 2, 0, 1]
    assert dataset.skeleton.name == "coco17"
    assert dataset.class_names == ["0", "1", "2"]
    for clip, entry in zip(dataset, annotations, strict=True):
        np.testing.assert_array_equal(clip.bodies[..., :2], entry["keypoint"].astype("f4"))
        np.testing.assert_array_equal(clip.bodies[..., 2], entry["keypoint_score"].astype("f4"))
        assert "splits" not in clip


def test_splits_and_classes(tmp_path):
    path = save(tmp_path, [annotation(n) for n in range(5)], SPLIT)
    assert PYSKLPickle(path, split="xsub_val").names == ["v3", "v4"]
    assert PYSKLPickle(path, split="odd").names == ["v1", "v3"]
    assert PYSKLPickle(path, classes=[0, 2]).names == ["v0", "v2", "v3"]
    assert PYSKLPickle(path, split="xsub_train", classes=[1]).names == ["v1"]
    with pytest.raises(ValueError, match=r"no split 'xset'; it has .'odd', 'xsub_train', "):
        PYSKLPickle(path, split="xset")


def test_three_dimensional_keypoints(tmp_path):
    entry = annotation(1, joints=25, channels=3)
    dataset = PYSKLPickle(save(tmp_path, [entry]), class_names=["sit", "stand"])
    assert dataset.skeleton.name == "ntu25"
    assert dataset.class_names == ["sit", "stand"]
    np.testing.assert_array_equal(dataset[0].bodies, entry["keypoint"].astype("f4"))


def test_a_layout_may_be_given(tmp_path):
    path = save(tmp_path, [annotation(0)])
    assert PYSKLPickle(path, skeleton="h36m17").skeleton.name == "h36m17"
    with pytest.raises(ValueError, match="17 joints, but skeleton 'ntu25' has 25"):
        PYSKLPickle(path, skeleton="ntu25")


def test_normalize(tmp_path):
    keypoint = np.array([[0, 0], [200, 100], [100, 50], [150, 25]] + [[100, 50]] * 13, "f4")
    score = np.array([1, 1, 1, 0] + [1] * 13, "f4")
    entry = annotation(0, keypoint=keypoint[None, None], keypoint_score=score[None, None])
    path = save(tmp_path, [entry, annotation(1, img_shape=None)])
    with pytest.warns(UserWarning, match=r"annotation 1 .v1. is malformed"):
        clip = PYSKLPickle(path, normalize=True)[0]
    assert clip.x[0, :4].tolist() == [[-1, -1, 1], [1, 1, 1], [0, 0, 1], [0, 0, 0]]
    with pytest.raises(ValueError, match=r"normalize.*force_reload=True"):
        PYSKLPickle(path)


def test_malformed_annotations_are_skipped(tmp_path):
    lacking = annotation(1)
    del lacking["keypoint"]
    broken = [
        lacking,
        "text",
        annotation(2, label="walk"),
        annotation(3, joints=16),
        annotation(4, keypoint=np.zeros((0, 4, 17, 2)), keypoint_score=np.zeros((0, 4, 17))),
        annotation(5, keypoint_score=np.zeros((1, 1, 17))),
        annotation(6, keypoint=np.full((1, 4, 17, 3), np.nan)),
        annotation(8, joints=25),
        annotation(9, keypoint=None),
        annotation(10, label=float("inf")),
    ]
    path = save(tmp_path, [annotation(0), *broken, annotation(7)], {})
    with pytest.warns(UserWarning, match="10 raw files or clips of 1 files"):
        dataset = PYSKLPickle(path)
    assert dataset.names == ["v0", "v7"]
    assert [file for file, _ in dataset.skipped] == ["set.pkl"] * 10
    for (_, reason), what in zip(
        dataset.skipped,
        ["keypoint", "annotation 2", "walk", "16 joints", "empty", "v5", "NaN", "v8", "v9", "v10"],
        strict=True,
    ):
        assert what in reason


CONTENTS = ["text", 3, {"split": {}}, {"annotations": []}, {"annotations": [], "split": {"a": 1}}]


@pytest.mark.parametrize("content", CONTENTS)
def test_other_content(tmp_path, content):
    with pytest.raises(ValueError, match="none of 1 raw files"):
        PYSKLPickle(save(tmp_path, content))
    assert not (tmp_path / "processed" / "set").exists()


class Malicious:
    def __reduce__(self):
        return os.system, ("exit 1",)


def test_code_is_refused(tmp_path):
    path = save(tmp_path, [annotation(0, extra=Malicious())])
    with pytest.raises(ValueError, match=r"system.*A pickle can run code"):
        PYSKLPickle(path)


def test_truncated_file(tmp_path):
    path = save(tmp_path, [annotation(0)])
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"set\.pkl"):
        PYSKLPickle(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"set.pkl.*pyskl"):
        PYSKLPickle(tmp_path / "set.pkl")


def test_changed_file_is_noticed(tmp_path):
    PYSKLPickle(save(tmp_path, [annotation(0)]))
    path = save(tmp_path, [annotation(1), annotation(2)])
    with pytest.raises(ValueError, match="force_reload=True"):
        PYSKLPickle(path)
    assert PYSKLPickle(path, force_reload=True).names == ["v1", "v2"]


def test_files_of_one_folder_do_not_mix(tmp_path):
    first = save(tmp_path, [annotation(0)], name="first.pkl")
    second = save(tmp_path, [annotation(1)], name="second.pkl")
    assert PYSKLPickle(first).names + PYSKLPickle(second).names == ["v0", "v1"]
    assert PYSKLPickle(first).names == ["v0"]
