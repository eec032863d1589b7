from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pyg_fsar import Skeleton
from pyg_fsar.formats import read_clip
from pyg_fsar.testing import SAMPLES, sample_bodies

POSE = [float(number) for number in range(1, 76)]


def write_frames(folder: Path, frames: dict[str, dict]) -> Path:
    folder.mkdir()
    for name, content in frames.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def frame(*poses: list[float], key: str = "pose_keypoints_2d") -> dict:
    return {"version": 1.3, "people": [{key: pose} for pose in poses]}


def test_genuine_folder(genuine: Path) -> None:
    folder = genuine / "openpose_body25"
    clip = read_clip(folder, size=(1280, 720))
    files = sorted(folder.glob("*.json"))
    assert clip.bodies.shape == (1, len(files), 25, 3) == (1, 135, 25, 3)
    for number in (0, 70, 134):
        person = json.loads(files[number].read_text())["people"][0]
        x, y, score = np.array(person["pose_keypoints_2d"]).reshape(25, 3).T
        joints = clip.bodies[0, number].numpy()
        for joint in np.flatnonzero(score):
            expected = (x[joint] - 640) / 720, (360 - y[joint]) / 720, score[joint]
            np.testing.assert_allclose(joints[joint], expected, atol=1e-5)
    head, ankle = clip.bodies[0, :, [0, 11], 1].mean(dim=0)
    assert head > ankle  # y points up


def test_genuine_folder_with_empty_frames(genuine: Path) -> None:
    folder = genuine / "openpose_body25_empty"
    contents = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    clips = read_clip(folder, people="all")
    assert {clip.num_frames for clip in clips} == {len(contents)} == {88}
    seen = np.array([sum(any(p["pose_keypoints_2d"]) for p in c["people"]) for c in contents])
    read = np.stack([clip.bodies[0].any(dim=-1).any(dim=-1).numpy() for clip in clips])
    assert not read[:, seen == 0].any()
    assert (read.sum(axis=0) <= seen).all()
    assert read.any(axis=0).sum() > 0.9 * (seen > 0).sum()


def test_numbers_in_names_order_the_frames(tmp_path: Path) -> None:
    poses = {f"a_{n}_keypoints.json": [n + 1.0, n + 1.0, 0.5] * 25 for n in (2, 10, 9)}
    folder = write_frames(tmp_path / "a", {name: frame(pose) for name, pose in poses.items()})
    (folder / ".hidden.json").write_text("no JSON")
    (folder / "video.mp4").write_bytes(b"\0" * 9)
    assert read_clip(folder, size=(2, 2)).bodies[0, :, 0, 0].tolist() == [1, 4.5, 5]


def test_unknown_size_keeps_proportions(tmp_path: Path) -> None:
    pose = [300.0, 100.0, 1.0] + [100.0, 300.0, 1.0] * 24
    folder = write_frames(tmp_path / "a", {"0.json": frame(pose)})
    first, second = read_clip(folder).bodies[0, 0, :2, :2]
    assert (first - second).tolist() == pytest.approx([200 / 300, 200 / 300])


def test_relative_coordinates_and_undetected_joints(tmp_path: Path) -> None:
    pose = [0.75, 0.25, 0.9] * 24 + [0.0, 0.0, 0.0]
    folder = write_frames(tmp_path / "a", {"0.json": frame(pose)})
    joints = read_clip(folder).bodies[0, 0]
    assert joints[0].tolist() == pytest.approx([0.25, 0.25, 0.9])
    assert joints[24].tolist() == [0, 0, 0]


def test_single_files_old_keys_and_lists(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(frame(POSE)))
    assert read_clip(tmp_path / "a.json").bodies.shape == (1, 1, 25, 3)
    (tmp_path / "b.json").write_text(json.dumps(frame(POSE[:54], key="pose_keypoints")))
    assert read_clip(tmp_path / "b.json").skeleton == "openpose18"
    (tmp_path / "c.json").write_text(json.dumps([frame(), frame(POSE), frame()]))
    assert read_clip(tmp_path / "c.json").bodies.shape == (1, 3, 25, 3)


@pytest.mark.skipif("hand21" not in Skeleton.available(), reason="needs the layout hand21")
def test_hands(tmp_path: Path) -> None:
    person = {"pose_keypoints_2d": POSE, "hand_left_keypoints_2d": POSE[:63]}
    folder = write_frames(tmp_path / "a", {"0.json": {"people": [person]}})
    clip = read_clip(folder, part="left_hand", size=(100, 100))
    assert clip.skeleton == "hand21"
    assert clip.bodies[0, 0, 1].tolist() == pytest.approx([-0.46, 0.45, 6])
    with pytest.raises(ValueError, match="frame 0 has no hand_right_keypoints_2d"):
        read_clip(folder, part="right_hand")


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ({"0.json": frame(POSE[:74])}, r"poses have \[74\] numbers; BODY_25 has 75"),
        ({"0.json": frame(POSE), "1.json": frame(POSE[:54])}, r"poses have \[54, 75\] numbers"),
        ({"0.json": frame()}, "nobody is seen in it"),
        ({"0.json": {"people": [{}]}}, "a person in frame 0 has no pose_keypoints_2d"),
        ({"0.json": frame(POSE), "1.json": {}}, "KeyError"),
        ({"a_0.json": frame(POSE), "b_0.json": frame(POSE)}, "frames of 2 clips, such as a_ and b"),
    ],
)
def test_damage_is_named(frames: dict, message: str, tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "clip", frames)
    with pytest.raises(ValueError, match=f"clip cannot be read as 'openpose': .*{message}"):
        read_clip(folder)


def test_a_damaged_frame_is_named(tmp_path: Path) -> None:
    SAMPLES["openpose"].write(tmp_path / "clip", sample_bodies(SAMPLES["openpose"]))
    victim = tmp_path / "clip" / "clip_000000000004_keypoints.json"
    for content in (b'{"people": [', b"\xff\xfe\x00", b'{"people": "\xff"}'):
        victim.write_bytes(content)
        with pytest.raises(ValueError, match=r"clip cannot be read as 'openpose'"):
            read_clip(tmp_path / "clip")
