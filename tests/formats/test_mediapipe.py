from __future__ import annotations

import csv
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from pyg_fsar import Skeleton
from pyg_fsar.formats import read_clip

RNG = np.random.default_rng(0)
JOINTS = Skeleton.get("mediapipe33").joints
PICTURE = RNG.uniform(0.1, 0.9, (4, 33, 4))
WORLD = RNG.uniform(-0.5, 0.5, (4, 33, 4))
WORLD[:, 24, :3] = -WORLD[:, 23, :3]
WORLD[..., 3] = 0.9
SHIFT = np.array([2, 0, 0, 0])  # to the next person


def test_genuine_table(genuine: Path) -> None:
    clip = read_clip(genuine / "mediapipe" / "long.csv")
    with (genuine / "mediapipe" / "long.csv").open() as file:
        rows = [(int(r["Frame"]), int(r["LandmarkID"]), r) for r in csv.DictReader(file)]
    assert clip.skeleton == "mediapipe33_2d"
    assert clip.bodies.shape == (1, max(frame for frame, _, _ in rows) + 1, 33, 3)
    seen = {frame for frame, _, _ in rows}
    for frame in range(clip.num_frames):
        assert bool(clip.bodies[0, frame].any()) == (frame in seen)
    for frame, joint, row in rows[::501]:
        expected = [float(row["X"]) - 0.5, 0.5 - float(row["Y"]), 1]
        assert clip.bodies[0, frame, joint].tolist() == pytest.approx(expected, abs=1e-5)


def test_genuine_json(genuine: Path) -> None:
    path = genuine / "mediapipe" / "blazepose_frames.json"
    frames = json.loads(path.read_text())["frames"]
    clip = read_clip(path)
    assert (clip.skeleton, clip.fps) == ("mediapipe33", 10.0)
    assert clip.bodies.shape == (1, len(frames), 33, 4) == (1, 40, 33, 4)
    for frame, joint in [(0, 0), (17, 15), (39, 32)]:
        landmark = frames[frame]["keypoints3D"][joint]
        expected = [-landmark["x"], -landmark["y"], landmark["z"], landmark["score"]]
        assert clip.bodies[0, frame, joint].tolist() == pytest.approx(expected, abs=1e-6)
    # The person stands upright.
    assert bool((clip.bodies[0, :, 0, 1] > clip.bodies[0, :, 28, 1] + 0.5).all())
    picture = read_clip(path, world=False)
    landmark = frames[5]["keypoints"][11]
    expected = [0.5 - landmark["x"], 0.5 - landmark["y"], landmark["z"], landmark["score"]]
    assert picture.bodies[0, 5, 11].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", ["a.npy", "a.pkl", "a.npz"])
@pytest.mark.parametrize("channels", [3, 4])
def test_arrays(name: str, channels: int, tmp_path: Path) -> None:
    for landmarks, expected in (
        (WORLD, WORLD * (-1, -1, 1, 1)),
        (PICTURE, np.concatenate([0.5 - PICTURE[..., :2], PICTURE[..., 2:]], axis=-1)),
    ):
        for shape in ((4, 33, channels), (4, 33 * channels)):
            array = landmarks[..., :channels].reshape(shape).astype(np.float32)
            if name.endswith("npy"):
                np.save(tmp_path / name, array)
            elif name.endswith("npz"):
                np.savez(tmp_path / name, array)
            else:
                (tmp_path / name).write_bytes(pickle.dumps(array))
            clip = read_clip(tmp_path / name)
            assert (clip.format, clip.skeleton) == ("mediapipe", "mediapipe33")
            np.testing.assert_allclose(clip.bodies[0], expected[..., :channels], atol=1e-6)


def test_pickled_frames_some_of_which_are_none(tmp_path: Path) -> None:
    frames = [None, *PICTURE[:2].astype(np.float32), None]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(frames))
    clip = read_clip(tmp_path / "a.pkl")
    assert clip.bodies.any(dim=-1).any(dim=-1).tolist() == [[False, True, True, False]]


def test_pictures_that_are_no_squares_keep_proportions(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", PICTURE)
    wide = read_clip(tmp_path / "a.npy", size=(1600, 800)).bodies[0].numpy()
    np.testing.assert_allclose(wide[..., 0], 2 * (0.5 - PICTURE[..., 0]), atol=1e-6)
    np.testing.assert_allclose(wide[..., 1], 0.5 - PICTURE[..., 1], atol=1e-6)
    np.testing.assert_allclose(wide[..., 2], 2 * PICTURE[..., 2], atol=1e-6)
    np.testing.assert_allclose(wide[..., 3], PICTURE[..., 3], atol=1e-6)


def as_table(style: str) -> str:
    axes = ("x", "y", "z", "visibility")
    names = {
        "number": [f"{axis[0]}{n}" for n in range(33) for axis in axes],
        "from one": [f"landmark_{n}_{axis}" for n in range(1, 34) for axis in axes],
        "named": [f"{joint}.{axis}" for joint in JOINTS for axis in axes],
        "shouting": [f"{joint.upper()}_{axis.upper()}" for joint in JOINTS for axis in axes],
    }[style]
    rows = [[f"{value:.6f}" for value in frame.ravel()] for frame in PICTURE]
    return "\n".join(",".join(row) for row in [names, *rows])


@pytest.mark.parametrize("style", ["number", "from one", "named", "shouting"])
def test_wide_tables(style: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(as_table(style))
    clip = read_clip(tmp_path / "a.csv")
    assert (clip.format, clip.skeleton) == ("mediapipe", "mediapipe33")
    np.testing.assert_allclose(clip.bodies[0, :, :, 0], 0.5 - PICTURE[..., 0], atol=1e-5)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_long_tables_with_gaps_in_any_order(delimiter: str, tmp_path: Path) -> None:
    rows = [[2 * t, j, *PICTURE[t, j]] for t in (0, 1, 3) for j in range(33)]
    rows = [rows[0], *[rows[n] for n in RNG.permutation(len(rows) - 1) + 1]]
    text = [["frame", "landmark", "x", "y", "z", "visibility"], *rows]
    # Recognising it takes the first rows to be whole frames; so the format is named here.
    (tmp_path / "a.csv").write_text("\n".join(delimiter.join(map(str, row)) for row in text))
    clip = read_clip(tmp_path / "a.csv", format="mediapipe")
    assert clip.num_frames == 4  # every second picture was looked at
    assert not clip.bodies[0, 2].any()
    np.testing.assert_allclose(clip.bodies[0, 3, :, 1], 0.5 - PICTURE[3, :, 1], atol=1e-5)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_tables_of_spreadsheets(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(as_table("named"), encoding=encoding)
    assert read_clip(tmp_path / "a.csv").num_frames == 4


def test_json_of_various_writers(tmp_path: Path) -> None:
    people = [[dict(zip("xyzv", joint, strict=True)) for joint in frame] for frame in PICTURE]
    for person in people:
        for joint in person:
            joint["visibility"] = joint.pop("v")
    for content in (
        people,
        [[person] for person in people],
        {"frames": [{"landmarks": person} for person in people]},
        {"frames": [{"pose_landmarks": [person]} for person in people], "fps": 25},
        {"frames": [{"poseLandmarks": {"landmark": person}} for person in people]},
        {"frames": [{"landmarks": frame.tolist()} for frame in PICTURE]},
    ):
        (tmp_path / "a.json").write_text(json.dumps(content))
        clip = read_clip(tmp_path / "a.json")
        assert clip.format == "mediapipe"
        np.testing.assert_allclose(clip.bodies[0, :, :, 3], PICTURE[..., 3], atol=1e-6)
        np.testing.assert_allclose(clip.bodies[0, :, :, 1], 0.5 - PICTURE[..., 1], atol=1e-6)


def test_several_people_in_json(tmp_path: Path) -> None:
    frames = [{"pose_landmarks": [f.tolist(), (f + SHIFT).tolist()]} for f in PICTURE]
    frames.insert(0, {"pose_landmarks": []})
    (tmp_path / "a.json").write_text(json.dumps({"frames": frames}))
    clips = read_clip(tmp_path / "a.json", people="all")
    assert [tuple(clip.bodies.shape) for clip in clips] == [(1, 5, 33, 4)] * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (as_table("named")[:-20], "row 4 has"),
        (as_table("named").replace("0.", "zero", 1), "is no number"),
        (as_table("named").split("\n")[0], "it has no rows"),
    ],
)
def test_damaged_tables(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"a\.csv cannot be read as 'mediapipe': .*{message}"):
        read_clip(tmp_path / "a.csv")
