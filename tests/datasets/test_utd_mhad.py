from __future__ import annotations

import builtins

import numpy as np
import pytest
import torch

from pyg_fsar.datasets import UTDMHAD

loadmat = pytest.importorskip("scipy.io")


def save(folder, action, subject, trial, joints=20, frames=5, key="d_skel"):
    folder.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(action).random((joints, 3, frames)) + 1
    path = folder / f"a{action}_s{subject}_t{trial}_skeleton.mat"
    loadmat.savemat(path, {key: values})
    return values


@pytest.mark.parametrize("place", ["Skeleton", "raw", "."])
def test_items(tmp_path, place):
    save(tmp_path / place, 10, 1, 1)
    values = save(tmp_path / place, 2, 3, 4)
    (tmp_path / place / "notes.mat").write_text("of no interest")
    dataset = UTDMHAD(tmp_path, split="all")
    assert dataset.names == ["a2_s3_t4", "a10_s1_t1"]  # in order of numbers, not of letters
    assert dataset.labels.tolist() == [1, 9]
    clip = dataset[0]
    assert (clip.subject, clip.trial, clip.y, clip.skeleton) == (3, 4, 1, "kinect20")
    assert dataset.class_names[clip.y] == "right arm swipe to the right"
    assert clip.bodies.shape == (1, 5, 20, 3)
    for frame in range(5):
        np.testing.assert_array_equal(clip.bodies[0, frame], values[:, :, frame].astype("f4"))


def test_the_split_is_the_seeded_draw():
    order = np.random.default_rng(UTDMHAD.SPLIT_SEED).permutation(27)
    assert UTDMHAD.SPLIT_SEED == 2022
    assert sorted(order[:15]) == list(UTDMHAD.TRAIN_CLASSES)
    assert sorted(order[15:20]) == list(UTDMHAD.VAL_CLASSES)
    assert sorted(order[20:]) == list(UTDMHAD.TEST_CLASSES)
    assert len(UTDMHAD.CLASS_NAMES) == 27


def test_broken_files_are_skipped(tmp_path):
    for action in range(1, 4):
        save(tmp_path, action, 1, 1)
    save(tmp_path, 4, 1, 1, joints=25)
    save(tmp_path, 5, 1, 1, key="other")
    (tmp_path / "a6_s1_t1_skeleton.mat").write_bytes(b"")
    cut = tmp_path / "a7_s1_t1_skeleton.mat"
    cut.write_bytes((tmp_path / "a1_s1_t1_skeleton.mat").read_bytes()[:300])
    loadmat.savemat(tmp_path / "a8_s1_t1_skeleton.mat", {"d_skel": np.zeros((20, 3))})
    with pytest.warns(UserWarning, match="5 raw files"):
        dataset = UTDMHAD(tmp_path, split="all")
    assert len(dataset) == 3
    reasons = dict(dataset.skipped)
    assert list(reasons) == [f"a{action}_s1_t1_skeleton.mat" for action in range(4, 9)]
    assert "25 joints, but skeleton 'kinect20' has 20" in reasons["a4_s1_t1_skeleton.mat"]
    assert "d_skel" in reasons["a5_s1_t1_skeleton.mat"]
    for action in (6, 7):
        assert "not a whole .mat file" in reasons[f"a{action}_s1_t1_skeleton.mat"]
    assert "(20, 3, frames)" in reasons["a8_s1_t1_skeleton.mat"]


def test_bad_arguments(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\*_s\*_t\*_skeleton.mat.*utdallas.edu"):
        UTDMHAD(tmp_path)
    with pytest.raises(ValueError, match="unknown split 'valid'"):
        UTDMHAD(tmp_path, split="valid")


def test_no_compiled_parser_is_needed(tmp_path, monkeypatch):
    save(tmp_path, 1, 1, 1)
    plain = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("scipy"):
            raise ImportError(name)
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert len(UTDMHAD(tmp_path, split="all")) == 1


def test_names_in_capitals(tmp_path):
    save(tmp_path, 1, 1, 1)
    (tmp_path / "a1_s1_t1_skeleton.mat").rename(tmp_path / "A1_S1_T1_SKELETON.MAT")
    assert UTDMHAD(tmp_path, split="all").names == ["a1_s1_t1"]


# the real data


@pytest.fixture(scope="module")
def processed(tmp_path_factory):
    return tmp_path_factory.mktemp("utd")


@pytest.fixture(scope="module")
def everything(utd_root, processed):
    return UTDMHAD(utd_root, split="all", processed_dir=processed)


def test_all_real_clips_load(utd_root, processed, everything):
    assert len(everything) == 861
    assert everything.skipped == []
    assert set(everything.metadata("subject").tolist()) == set(range(1, 9))
    assert set(everything.metadata("trial").tolist()) == set(range(1, 5))
    splits = [UTDMHAD(utd_root, split, processed_dir=processed) for split in ("train", "val")]
    splits.append(UTDMHAD(utd_root, "test", processed_dir=processed))
    classes = [set(split.labels.tolist()) for split in splits]
    assert [len(labels) for labels in classes] == [15, 5, 7]
    assert set.union(*classes) == set(range(27))
    assert sum(map(len, splits)) == 861


def test_real_joints_are_those_of_the_layout(everything):
    skeleton = everything.skeleton
    child, parent = torch.tensor(skeleton.bones).t()
    feet = [skeleton.joint("left_foot"), skeleton.joint("right_foot")]
    rigid = [n for n, (joint, _) in enumerate(skeleton.bones) if joint not in feet]
    clips = everything.gather(range(0, 861, 7))
    spread = []
    for clip in clips:
        body = clip.bodies[0]
        length = (body[:, child] - body[:, parent]).norm(dim=-1)
        spread.append(length.std(dim=0) / length.mean(dim=0))
        head, hip = skeleton.joint("head"), skeleton.joint("hip_center")
        up = (body[:, head] - body[:, hip]).mean(dim=0)
        assert up.argmax() == up.abs().argmax() == 1  # y points up
        assert (body[:, feet, 1].mean(dim=0) < body[:, hip, 1].mean()).all()
        assert (body[..., 2] > 1).all()  # metres from the camera
    # Hands flutter; a wrong joint order would stretch the other bones too.
    assert torch.stack(spread)[:, rigid].median(dim=0).values.sort().values[-3] < 0.09


def test_real_right_is_right(everything):
    left, right = (everything.skeleton.joint(f"{side}_hand") for side in ("left", "right"))
    for label in (0, 1, 2, 4, 7, 8, 9, 10, 18, 19):  # actions of the right hand alone
        for clip in everything[everything.labels == label][::8]:
            moved = clip.bodies[0].diff(dim=0).norm(dim=-1).sum(dim=0)
            assert moved[right] > 2 * moved[left]
