from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pyg_fsar import Skeleton
from pyg_fsar.datasets import SkeletonFolder
from pyg_fsar.datasets.fake_body import Body

BVH = """HIERARCHY
ROOT Hips
{{
OFFSET 0 0.9 0
CHANNELS 3 Xposition Yposition Zposition
JOINT {}
{{
OFFSET 0 0.6 0
CHANNELS 3 Zrotation Xrotation Yrotation
End Site
{{
OFFSET 0 0.2 0
}}
}}
}}
MOTION
Frames: 2
Frame Time: 0.1
0 0.9 0 0 0 0
0 1 0 0 10 0
"""


def bvh(path, joint="Neck"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(BVH.format(joint))


def openpose(folder, skeleton="openpose25", frames=3):
    folder.mkdir(parents=True)
    rest = Body(Skeleton.get(skeleton)).rest
    for n in range(frames):
        pixels = np.concatenate([320 + 200 * rest[:, :1] + n, 400 - 200 * rest[:, 1:2]], axis=1)
        pose = np.concatenate([pixels, np.full((len(rest), 1), 0.9)], axis=1).ravel().tolist()
        content = {"people": [{"pose_keypoints_2d": pose}]}
        (folder / f"f_{n:012d}_keypoints.json").write_text(json.dumps(content))


def test_one_subfolder_a_class(tmp_path):
    for number in (1, 2, 10):
        bvh(tmp_path / "wave" / f"{number}.bvh")
    bvh(tmp_path / "bow" / "a.bvh")
    (tmp_path / "bow" / "notes.txt").write_text("no clip")
    (tmp_path / "bow" / ".hidden").write_text("no clip")
    dataset = SkeletonFolder(tmp_path)
    assert dataset.class_names == ["bow", "wave"]
    assert dataset.names == ["bow/a.bvh", "wave/1.bvh", "wave/2.bvh", "wave/10.bvh"]
    assert dataset.labels.tolist() == [0, 1, 1, 1] and dataset.skipped == []
    assert dataset.skeleton.joints == ("Hips", "Neck") and dataset[0].format == "bvh"
    torch.testing.assert_close(dataset[0].bodies[0, 0, 1], torch.tensor([0.0, 1.5, 0.0]))
    again = SkeletonFolder(tmp_path)
    assert torch.equal(again[3].x, dataset[3].x)


def test_formats_are_taken_to_one_layout(tmp_path):
    openpose(tmp_path / "stand" / "clip1")
    openpose(tmp_path / "lie" / "clip2", "openpose18")
    bvh(tmp_path / "stand" / "other.bvh")
    with pytest.warns(UserWarning, match="1 raw files"):
        dataset = SkeletonFolder(tmp_path, skeleton="body15")
    assert dataset.names == ["lie/clip2", "stand/clip1"]
    assert dataset.skeleton.name == "body15_2d"
    assert {clip.skeleton for clip in dataset} == {"body15_2d"}
    file, reason = dataset.skipped[0]
    assert file == "stand/other.bvh" and "layout is 'body15', that of the first" in reason


def test_what_cannot_be_read_is_listed(tmp_path):
    bvh(tmp_path / "wave" / "1.bvh")
    bvh(tmp_path / "wave" / "2.bvh", joint="Head")
    (tmp_path / "wave" / "3.bvh").write_text("HIERARCHY\nROOT a\n{")
    (tmp_path / "wave" / "4.doc").write_text("a letter")
    with pytest.warns(UserWarning, match="3 raw files"):
        dataset = SkeletonFolder(tmp_path)
    assert dataset.names == ["wave/1.bvh"]
    reasons = dict(dataset.skipped)
    assert "pass skeleton='body15' to take all to one" in reasons["wave/2.bvh"]
    assert "no MOTION" in reasons["wave/3.bvh"] and "no known format" in reasons["wave/4.doc"]
    assert all(len(reason) < 500 for reason in reasons.values())


def test_splits_are_folders(tmp_path):
    for split, name in (("train", "bow"), ("train", "nod"), ("test", "wave")):
        bvh(tmp_path / split / name / "1.bvh")
    assert SkeletonFolder(tmp_path, split="train").class_names == ["bow", "nod"]
    assert SkeletonFolder(tmp_path, split="test").names == ["wave/1.bvh"]
    with pytest.raises(ValueError, match=r"none of 3 raw files[^$]*split='t"):
        SkeletonFolder(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no folder .*val"):
        SkeletonFolder(tmp_path, split="val")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="has no subfolder with files"):
        SkeletonFolder(tmp_path / "empty")


def test_other_options_make_another_store(tmp_path):
    bvh(tmp_path / "wave" / "1.bvh")
    SkeletonFolder(tmp_path)
    with pytest.raises(ValueError, match="force_reload=True"):
        SkeletonFolder(tmp_path, skeleton="body15")
    mapped = SkeletonFolder(tmp_path, skeleton="body15", force_reload=True)
    assert mapped[0].skeleton == "body15"
