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
    with pytest.raises(
        ValueError, match=r"set.pkl is no pickle of NumPy arrays .*it asks for \w+.system"
    ):
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


# what other people's files are like


def people_by_frame():
    """Detections of the files of Kinetics-400: frame 0 has two people, frame 1 none."""
    keypoint = np.arange(1.0, 1 + 3 * 17 * 3).reshape(3, 17, 3)
    keypoint[..., 2] = np.array([0.25, 0.75, 0.5])[:, None]
    return {"keypoint": keypoint, "frame_inds": np.array([0, 0, 2])}


@pytest.mark.parametrize("place", ["inline", "beside", "named with its folder", "below"])
def test_people_listed_frame_by_frame(tmp_path, place):
    people = people_by_frame()
    entry = {"frame_dir": "v", "label": 1, "total_frames": 4, "img_shape": (100, 200)}
    if place == "inline":
        entry |= people
    else:
        folder = tmp_path / ("kpfiles" if place == "below" else ".")
        folder.mkdir(exist_ok=True)
        (folder / "v.pkl").write_bytes(pickle.dumps(people))
        entry["raw_file"] = {
            "named with its folder": "data/k400/v.pkl",
            "below": "kpfiles/v.pkl",
        }.get(place, "v.pkl")
    clip = PYSKLPickle(save(tmp_path, [entry]))[0]
    assert (clip.skeleton, clip.bodies.shape) == ("coco17", (2, 4, 17, 3))
    np.testing.assert_array_equal(clip.bodies[0, 0], people["keypoint"][1])  # the best comes first
    np.testing.assert_array_equal(clip.bodies[1, 0], people["keypoint"][0])
    np.testing.assert_array_equal(clip.bodies[0, 2], people["keypoint"][2])
    assert not clip.bodies[:, [1, 3]].any()


def test_keypoints_outside_the_folder_are_not_looked_for(tmp_path):
    (tmp_path / "out.pkl").write_bytes(pickle.dumps(people_by_frame()))
    root = tmp_path / "root"
    root.mkdir()
    entries = [
        {"frame_dir": "v", "label": 1, "total_frames": 4, "raw_file": name}
        for name in ("../out.pkl", str(tmp_path / "out.pkl"), "none.pkl")
    ]
    with pytest.warns(UserWarning, match="3 raw files or clips"):
        dataset = PYSKLPickle(save(root, [*entries, annotation(0)]))
    assert all("in a file of their own" in why for _, why in dataset.skipped)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame_inds": [0, 0]}, "3, 17, 3"),
        ({"frame_inds": [0, 0, 9]}, "'frame_inds' 0..9 must be below 'total_frames' 4"),
        ({"frame_inds": [0, -1, 1]}, "'frame_inds' -1"),
        ({"total_frames": 10**9}, "at most 100000"),
        ({"total_frames": 10**400}, "malformed"),
    ],
)
def test_impossible_frames(tmp_path, change, message):
    entry = {"frame_dir": "v", "label": 1, "total_frames": 4} | people_by_frame() | change
    with pytest.warns(UserWarning, match="1 raw files or clips"):
        dataset = PYSKLPickle(save(tmp_path, [entry, annotation(0)]))
    assert message in dataset.skipped[0][1]


def test_frames_first(tmp_path):
    entry = annotation(5)  # [2, 8, 17, 2]
    turned = {key: entry[key].swapaxes(0, 1) for key in ("keypoint", "keypoint_score")}
    path = save(tmp_path, [entry, entry | turned | {"frame_dir": "turned"}])
    plain, clip = PYSKLPickle(path)
    np.testing.assert_array_equal(clip.bodies, plain.bodies)
    wrong = annotation(6) | turned | {"total_frames": 5}
    with pytest.warns(UserWarning, match=r"no axis has the 5 of 'total_frames'"):
        assert len(PYSKLPickle(save(tmp_path, [entry, wrong], name="other.pkl"))) == 1


def test_names_in_a_split_that_no_clip_has(tmp_path):
    split = {"train": ["a/v0", "a/v1"], "val": ["v0", "v9"], "test": ["v1"]}
    path = save(tmp_path, [annotation(0), annotation(1)], split)
    with pytest.warns(UserWarning, match="split 'train' names 2 of 2 clips that are not there"):
        dataset = PYSKLPickle(path)
    assert "names 1 of 2 clips that are not there, such as 'v9'" in dataset.skipped[1][1]
    assert PYSKLPickle(path, split="val").names == ["v0"]
    with pytest.raises(ValueError, match=r"no split 'train'; .*named by 'frame_dir'") as caught:
        PYSKLPickle(path, split="train")
    assert "'a/v0'" in str(caught.value)


@pytest.mark.parametrize("split", [None, {}])
def test_a_file_without_splits(tmp_path, split):
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps({"split": split, "annotations": [annotation(0)]}))
    assert PYSKLPickle(path).names == ["v0"]
    with pytest.raises(ValueError, match=r"no split 'train'; it has \[\]"):
        PYSKLPickle(path, split="train")


def test_one_annotation_by_itself(tmp_path):
    assert PYSKLPickle(save(tmp_path, annotation(0))).names == ["v0"]


@pytest.mark.parametrize(
    "content",
    [
        np.zeros((3, 4, 17, 2)),
        {"split": {}, "annotations": np.zeros(3)},
        {"split": [1], "annotations": [annotation(0)]},
        {"split": {"train": "v0"}, "annotations": [annotation(0)]},
        {"split": {"train": "v0" * 10**6}, "annotations": [annotation(0)]},
        [annotation(0, frame_dir="v" * 10**6)],
        [annotation(0, label=10**400)],
        [annotation(0, label=0.5)],
        [annotation(0, keypoint=[[1], [1, 2]])],
        [annotation(0, keypoint=np.ones((1, 4, 17, 2)) * 1j)],
        [annotation(0, keypoint=np.ones((1, 4, 17, 2)) * 1e30)],
        [3, None, "x" * 10**6],
    ],
)
def test_content_that_is_refused_in_few_words(tmp_path, content):
    with pytest.raises(ValueError, match=r"set\.pkl") as caught:
        PYSKLPickle(save(tmp_path, content))
    assert len(str(caught.value)) < 500


def test_what_is_relative_already_is_not_normalised_again(tmp_path):
    small = annotation(0, keypoint=np.full((1, 3, 17, 2), 0.5))
    with pytest.raises(ValueError, match=r"already; pass normalize=False"):
        PYSKLPickle(save(tmp_path, [small]), normalize=True)
    with pytest.raises(ValueError, match=r"img_shape must be \(height, width\)"):
        PYSKLPickle(save(tmp_path, [annotation(0, img_shape=(0, 5))]), normalize=True)


def test_scores_tell_layouts_apart(tmp_path):
    found = annotation(0, joints=25)  # x, y and a score
    assert PYSKLPickle(save(tmp_path, [found])).skeleton.name == "openpose25"
    with pytest.raises(ValueError, match=r"17 joints with 3 channels.*skeleton="):
        PYSKLPickle(save(tmp_path, [annotation(0, channels=3)], name="3d.pkl"))
