from __future__ import annotations

import shutil

import numpy as np
import pytest

from pyg_fsar.datasets import HDM05


@pytest.fixture
def some(hdm05_root, tmp_path):
    """Two clips of each of three classes."""
    shutil.copytree(hdm05_root / "asf", tmp_path / "asf")
    for name in ("squat1Reps", "lieDownFloor", "grabHighR"):
        (tmp_path / "amc" / name).mkdir(parents=True)
        for path in sorted((hdm05_root / "amc" / name).glob("*.amc"))[:2]:
            shutil.copy(path, tmp_path / "amc" / name)
    return tmp_path


def test_broken_files_are_skipped(some):
    paths = sorted((some / "amc" / "squat1Reps").glob("*.amc"))
    paths[0].write_bytes(paths[0].read_bytes()[:-100])
    shutil.copy(paths[1], paths[1].with_name("HDM_xx_squat1Reps_001_120.amc"))
    with pytest.warns(UserWarning, match="2 raw files"):
        dataset = HDM05(some, split="all")
    assert len(dataset) == 5
    reasons = [reason for _, reason in dataset.skipped]
    assert "cut off" in reasons[0] and "put the ASF file beside it" in reasons[1]


def test_bad_arguments(tmp_path, some):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"found no HDM_\*.amc.*mpi-inf.mpg.de/HDM05"):
        HDM05(tmp_path / "empty")
    with pytest.raises(ValueError, match="unknown split 'valid'"):
        HDM05(some, split="valid")


def test_classes_that_were_added_make_another_store(some):
    HDM05(some, split="all")
    (some / "amc" / "squat1Reps").rename(some / "amc" / "squat")
    with pytest.raises(ValueError, match="force_reload=True"):
        HDM05(some, split="all")


@pytest.mark.parametrize("num_classes", [11, 40, 130])
def test_splits_share_no_class(num_classes):
    val, test = HDM05.split_classes(num_classes)
    order = np.random.default_rng(HDM05.SPLIT_SEED).permutation(num_classes)
    assert set(test) == set(order[-len(test) :].tolist()) and not set(val) & set(test)
    assert (len(val), len(test)) == {11: (3, 5), 40: (5, 10), 130: (16, 32)}[num_classes]


def test_real_clips(hdm05_root, tmp_path):
    everything = HDM05(hdm05_root, "all", processed_dir=tmp_path)
    assert everything.skipped == [] and len(everything) == 287
    assert everything.skeleton.name == "hdm31" and everything.num_classes == 11
    assert set(everything.metadata("subject").tolist()) == {"bd", "bk", "dg", "mm", "tr"}
    test = HDM05(hdm05_root, "test", processed_dir=tmp_path)
    held = {test.class_names[label] for label in test.labels}
    assert held == {
        *("elbowToKnee1RepsLelbowStart", "grabHighR", "hopBothLegs1hops", "kickLFront1Reps"),
        "throwBasketball",
    }
    head, ankle = (everything.skeleton.joint(name) for name in ("head", "left_ankle"))
    for clip in everything.gather(range(0, 287, 40)):
        assert 1.2 < (clip.bodies[0, :, head] - clip.bodies[0, :, ankle]).norm(dim=-1).max() < 2
