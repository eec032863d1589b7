from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pyg_fsar.formats import read_clip
from pyg_fsar.testing import SAMPLES, sample_bodies


def test_genuine_gesture(genuine: Path) -> None:
    path = genuine / "azure_kinect" / "LeftToRight.json"
    sample = json.loads(path.read_text())["samples"][0]
    clip = read_clip(path)
    assert (clip.skeleton, clip.fps) == ("azure32", sample["sampleRate"])
    assert clip.bodies.shape == (1, sample["frameCount"], 32, 4) == (1, 53, 32, 4)
    for frame, joint in [(0, 3), (30, 7), (52, 31)]:
        values = sample["frames"][frame]["values"][3 * joint : 3 * joint + 3]
        weight = sample["frames"][frame]["weights"][joint]
        expected = [values[0], values[1], -values[2], weight]
        assert clip.bodies[0, frame, joint].tolist() == pytest.approx(expected)
    joints = dict(zip(clip.joint_names, clip.bodies[0].unbind(1), strict=True))
    # y up, x to the person's right, and the feet point to the camera.
    assert bool((joints["neck"][:, 1] > joints["left_foot"][:, 1] + 1).all())
    assert bool((joints["right_hip"][:, 0] > joints["left_hip"][:, 0]).all())
    assert bool((joints["left_foot"][:, 2] < joints["left_ankle"][:, 2]).all())
    with pytest.raises(ValueError, match="it has no sample 1; it has 1, counted from 0"):
        read_clip(path, sample=1)


def test_bodies_of_the_sdk_come_and_go(tmp_path: Path) -> None:
    SAMPLES["azure"].write(tmp_path / "a.json", sample_bodies(SAMPLES["azure"], 2))
    content = json.loads((tmp_path / "a.json").read_text())
    for frame in content["frames"][:4]:
        frame["bodies"] = frame["bodies"][1:]
    (tmp_path / "a.json").write_text(json.dumps(content))
    clips = read_clip(tmp_path / "a.json", people="all")
    seen = [clip.bodies[0].any(dim=-1).any(dim=-1).sum() for clip in clips]
    assert seen == [8, 12]
    assert clips[0].fps == pytest.approx(30, abs=0.01)


def test_joints_of_another_number(tmp_path: Path) -> None:
    body = {"body_id": 1, "joint_positions": np.ones((25, 3)).tolist()}
    (tmp_path / "a.json").write_text(json.dumps({"frames": [{"bodies": [body]}]}))
    with pytest.raises(ValueError, match=r"a\.json .*it has 25 joints, but skeleton 'azure32'"):
        read_clip(tmp_path / "a.json")
