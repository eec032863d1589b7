from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pyg_fsar.formats import read_clip
from pyg_fsar.testing import SAMPLES, sample_bodies


def test_genuine_annotations(genuine: Path) -> None:
    path = genuine / "coco" / "test_coco.json"
    content = json.loads(path.read_text())
    clips = read_clip(path, people="all")
    assert {clip.num_frames for clip in clips} == {len(content["images"])} == {4}
    size = np.array([max(i["width"] for i in content["images"]), 0])
    size[1] = max(i["height"] for i in content["images"])
    wanted = [np.array(a["keypoints"]).reshape(17, 3) for a in content["annotations"]]
    wanted = [a for a in wanted if a.any()]
    poses = np.concatenate([clip.bodies[0].numpy() for clip in clips])
    poses = poses[poses.any(axis=(1, 2))]
    assert len(poses) == len(wanted) == 12
    for pose in poses:  # each is one of the annotations
        x, y = pose[..., 0] * size[1] + size[0] / 2, size[1] / 2 - pose[..., 1] * size[1]
        back = np.where(pose[..., 2:] > 0, np.stack([x, y, 2 * pose[..., 2]], axis=-1), 0)
        assert min(np.abs(back - annotation).max() for annotation in wanted) < 1e-2


def test_identities_of_the_file_are_kept(tmp_path: Path) -> None:
    bodies = sample_bodies(SAMPLES["coco"], 2)
    bodies[:, 6:] = bodies[::-1, 6:].copy()  # who jumps keeps their track_id
    SAMPLES["coco"].write(tmp_path / "a.json", bodies)
    kept = read_clip(tmp_path / "a.json", people=2).bodies.numpy()
    order = np.argsort(kept[:, 0, 0, 0])
    np.testing.assert_allclose(kept[order], bodies[np.argsort(bodies[:, 0, 0, 0])], atol=1e-5)
    anew = read_clip(tmp_path / "a.json", people=2, retrack=True).bodies
    assert (anew[:, 0] - anew[:, -1]).abs().max() < 0.5


def test_videos_and_order_of_frames(tmp_path: Path) -> None:
    images = [
        {"id": 10 * video + n, "video_id": video, "frame_id": n, "width": 2, "height": 2}
        for video in (1, 2)
        for n in (2, 0, 1)
    ]
    entries = [{"image_id": i["id"], "keypoints": [i["frame_id"] + 1, 1, 1] * 17} for i in images]
    (tmp_path / "a.json").write_text(json.dumps({"images": images, "annotations": entries}))
    with pytest.raises(ValueError, match=r"it has 2 videos; choose one by video=\.\.\., such as 1"):
        read_clip(tmp_path / "a.json")
    with pytest.raises(ValueError, match="it has no video 3; it has 1, 2"):
        read_clip(tmp_path / "a.json", video=3)
    clip = read_clip(tmp_path / "a.json", video=2)
    assert clip.bodies[0, :, 0, 0].tolist() == [0, 0.5, 1]


def test_results_with_gaps_and_whole_bodies(tmp_path: Path) -> None:
    people = [{"image_id": n, "keypoints": [5.0, 5.0, 0.5] * 133} for n in (3, 4, 7)]
    (tmp_path / "a.json").write_text(json.dumps(people))
    clip = read_clip(tmp_path / "a.json")
    assert (clip.format, clip.skeleton) == ("coco", "coco17")
    assert clip.bodies[0].any(dim=-1).any(dim=-1).tolist() == [True, True, False, False, True]


def test_joint_counts(tmp_path: Path) -> None:
    people = [{"image_id": 1, "keypoints": [5.0, 5.0, 0.5] * 19}]
    (tmp_path / "a.json").write_text(json.dumps(people))
    with pytest.raises(ValueError, match=r"keypoints have \[57\] numbers; 51 \(COCO\)"):
        read_clip(tmp_path / "a.json")
