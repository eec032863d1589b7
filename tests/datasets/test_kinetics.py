from __future__ import annotations

import json

import numpy as np
import pytest

from pyg_fsar.datasets import KineticsSkeleton


def person(x=0.25, y=0.75, score=0.5):
    return {"pose": [x, y] * 18, "score": [score] * 18}


def save(folder, name, label, frames, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    data = [{"frame_index": n, "skeleton": people} for n, people in frames]
    content = {"data": data, "label": f"action {label}", "label_index": label}
    (folder / f"{name}.json").write_text(json.dumps(content | changes))


def test_items(tmp_path):
    save(tmp_path, "a", 5, [(1, [person()]), (2, [person(score=0.25), person(x=0.5)])])
    dataset = KineticsSkeleton(tmp_path, split="all")
    clip = dataset[0]
    assert (clip.name, clip.y, clip.skeleton) == ("a", 5, "openpose18")
    assert dataset.class_names == ["0", "1", "2", "3", "4", "action 5"]
    assert clip.bodies.shape == (2, 2, 18, 3)
    assert clip.bodies[0, :, 7].tolist() == [[-0.25, 0.25, 0.5], [0, 0.25, 0.5]]
    assert clip.bodies[1, :, 7].tolist() == [[0, 0, 0], [-0.25, 0.25, 0.25]]


def test_the_two_best_of_each_frame(tmp_path):
    crowd = [person(x=0.1 * n, score=s) for n, s in enumerate((0.3, 0.9, 0.1, 0.6))]
    save(tmp_path, "a", 1, [(1, crowd), (2, crowd[::-1])])
    bodies = KineticsSkeleton(tmp_path, split="all")[0].bodies
    np.testing.assert_allclose(bodies[:, :, 0, 2], [[0.9, 0.9], [0.6, 0.6]])
    np.testing.assert_allclose(bodies[:, :, 0, 0], [[-0.4, -0.4], [-0.2, -0.2]], atol=1e-6)


def test_missing_joints_are_zero(tmp_path):
    one = person()
    one["score"][3] = 0.0
    save(tmp_path, "a", 1, [(1, [one])])
    bodies = KineticsSkeleton(tmp_path, split="all")[0].bodies
    assert bodies[0, 0, 3].tolist() == [0, 0, 0]
    assert bodies[0, 0, 2].tolist() == [-0.25, 0.25, 0.5]


def test_frames_without_people(tmp_path):
    frames = [(n, [person()] if n in (4, 5, 8) else []) for n in range(1, 12)]
    save(tmp_path, "listed", 1, frames)
    save(tmp_path, "left_out", 1, [frames[7], frames[3], frames[4]])  # and out of order
    for clip in KineticsSkeleton(tmp_path, split="all"):
        seen = clip.bodies[0].abs().sum(dim=(1, 2)) > 0
        assert seen.tolist() == [True, True, False, False, True]


def test_the_split():
    val, test = set(KineticsSkeleton.VAL_CLASSES), set(KineticsSkeleton.TEST_CLASSES)
    assert (len(val), len(test), val & test) == (20, 20, set())
    assert val | test <= set(range(1, 121))


@pytest.fixture
def labelled(tmp_path):
    for label in (0, 1, 3, 4, 5, 150):
        for n in range(4):
            save(tmp_path / "kinetics_val", f"c{label}_{n}", label, [(1, [person()])])
    return tmp_path


def test_splits(labelled):
    classes = {
        split: set(KineticsSkeleton(labelled, split).labels.tolist())
        for split in ("train", "val", "test", "all")
    }
    assert classes == {"train": {1, 5}, "val": {4}, "test": {3}, "all": {0, 1, 3, 4, 5, 150}}
    with pytest.raises(ValueError, match="unknown split 'valid'"):
        KineticsSkeleton(labelled, "valid")


def test_clips_per_class(labelled):
    drawn = KineticsSkeleton(labelled, "train", clips_per_class=3)
    assert drawn.labels.tolist() == [1, 1, 1, 5, 5, 5]
    assert KineticsSkeleton(labelled, "train", clips_per_class=3).names == drawn.names
    assert len(KineticsSkeleton(labelled, "train", clips_per_class=9)) == 8


@pytest.mark.parametrize("inside", [False, True])
def test_label_file_overrules_the_clip(tmp_path, inside):
    folder = tmp_path / "kinetics_train"
    save(folder, "a", -1, [(1, [person()])])
    save(folder, "b", 2, [(1, [person()])])
    table = {"a": {"has_skeleton": True, "label": "juggling", "label_index": 1}}
    (tmp_path / "kinetics_train_label.json").write_text(json.dumps(table))
    dataset = KineticsSkeleton(folder if inside else tmp_path, split="all")
    assert dataset.labels.tolist() == [1, 2]
    assert dataset.class_names == ["0", "juggling", "action 2"]


def test_malformed_label_file(labelled):
    (labelled / "kinetics_val_label.json").write_text('{"c0_0": ')
    with pytest.raises(ValueError, match=r"label file .*kinetics_val_label\.json is malformed"):
        KineticsSkeleton(labelled)


def test_broken_clips_are_skipped(tmp_path):
    save(tmp_path, "good", 1, [(1, [person()])])
    save(tmp_path, "a_nobody", 1, [(1, []), (2, [])])
    save(tmp_path, "b_nan", 1, [(1, [person(x=float("nan"))])])
    save(tmp_path, "c_joints", 1, [(1, [{"pose": [0.1] * 50, "score": [0.5] * 25}])])
    save(tmp_path, "d_unlabelled", -1, [(1, [person()])])
    save(tmp_path, "e_text", 1, [(1, [{"pose": ["x"] * 36, "score": [0.5] * 18}])])
    save(tmp_path, "f_data", 1, [], data="none")
    save(tmp_path, "g_zero", 1, [(1, [person(score=0)])])
    (tmp_path / "h_truncated.json").write_bytes((tmp_path / "good.json").read_bytes()[:90])
    (tmp_path / "i_list.json").write_text("[]")
    save(tmp_path, "j_far", 1, [(1, [person()]), (10**13, [person()])])
    save(tmp_path, "k_infinite", float("inf"), [(1, [person()])])
    with pytest.warns(UserWarning, match="11 raw files"):
        dataset = KineticsSkeleton(tmp_path, split="all")
    assert dataset.names == ["good"]
    for (file, reason), (name, what) in zip(
        dataset.skipped,
        {
            "a_nobody": "nobody",
            "b_nan": "NaN",
            "c_joints": "50 numbers and 25 scores",
            "d_unlabelled": "label_index is -1",
            "e_text": "could not convert",
            "f_data": "not in the format",
            "g_zero": "all zero",
            "h_truncated": "not whole JSON",
            "i_list": "not in the format",
            "j_far": "frame_index goes from 1 to 10000000000000",
            "k_infinite": "not in the format",
        }.items(),
        strict=True,
    ):
        assert file == f"{name}.json"
        assert what in reason


def test_root_without_data(tmp_path):
    (tmp_path / "kinetics_val_label.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"no \*\.json in .*st-gcn"):
        KineticsSkeleton(tmp_path)


def nested(depth):
    return '{"data": ' + "[" * depth + "]" * depth + "}"


HOSTILE = {
    "deep": (lambda p: p.write_text(nested(100_000)), "not whole JSON"),
    "label": (lambda p: save(p.parent, p.stem, 10**30, [(1, [person()])]), "label 1000000000"),
    "large": (lambda p: save(p.parent, p.stem, 2 * 10**8, [(1, [person()])]), "label 200000000"),
    "half": (lambda p: save(p.parent, p.stem, 1.5, [(1, [person()])]), "label 1.5"),
    "text": (
        lambda p: save(p.parent, p.stem, "x" * 2_000_000, [(1, [person()])], label_index=1),
        "at most 1000 characters",
    ),
    "index": (lambda p: save(p.parent, p.stem, 1, [(10**30, [person()])]), "frame_index"),
    "infinite": (
        lambda p: save(p.parent, p.stem, 1, [(float("inf"), [person()])]),
        "OverflowError",
    ),
    "scale": (lambda p: save(p.parent, p.stem, 1, [(1, [person(x=1e30)])]), "are pixels"),
    "pixels": (
        lambda p: save(p.parent, p.stem, 1, [(1, [person(x=320)])]),
        "divide x by the width",
    ),
    "openpose": (
        lambda p: p.write_text('{"version": 1.3, "people": []}'),
        "a frame of OpenPose's own output",
    ),
    "size": (lambda p: p.write_bytes(b" " * 2_000_000), "has more than 1 MiB"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_clip_ends_the_build(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("pyg_fsar.datasets.kinetics.MAX_CLIP_BYTES", 2**20)
    make, reason = HOSTILE[kind]
    if kind == "text":
        monkeypatch.undo()
    save(tmp_path, "good", 1, [(1, [person()])])
    make(tmp_path / "hostile.json")
    with pytest.warns(UserWarning, match="1 raw files") as caught:
        dataset = KineticsSkeleton(tmp_path, split="all")
    assert dataset.names == ["good"]
    ((file, why),) = dataset.skipped
    assert file == "hostile.json"
    assert reason in why
    assert len(str(caught[0].message)) < 500


def test_a_folder_of_openpose_says_how_to_read_it(tmp_path):
    for n in range(3):
        (tmp_path / f"video_{n:012d}_keypoints.json").write_text('{"version": 1.3, "people": []}')
    with pytest.raises(ValueError, match=r"OpenPose's own output.*SkeletonFolder"):
        KineticsSkeleton(tmp_path)


def test_names_in_capitals(tmp_path):
    save(tmp_path, "a", 1, [(1, [person()])])
    (tmp_path / "a.json").rename(tmp_path / "a.JSON")
    assert KineticsSkeleton(tmp_path, split="all").names == ["a"]
