from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyg_fsar.formats import read_clip
from pyg_fsar.saving.safe_pickle import load_pickle

RNG = np.random.default_rng(0)


def annotation(**changes: Any) -> dict[str, Any]:
    return {
        "frame_dir": "a",
        "label": 3,
        "total_frames": 7,
        "img_shape": (480, 640),
        "keypoint": RNG.uniform(1, 400, (1, 7, 17, 2)),
        "keypoint_score": RNG.uniform(0.5, 1, (1, 7, 17)),
    } | changes


def written(content: Any, folder: Path) -> Path:
    (folder / "a.pkl").write_bytes(pickle.dumps(content))
    return folder / "a.pkl"


def test_genuine_annotation(genuine: Path) -> None:
    path = genuine / "pyskl" / "example_UCF101_skeleton.pkl"
    content = load_pickle(path)
    clip = read_clip(path, people=2)
    height, width = content["img_shape"]
    keypoint = content["keypoint"].astype(np.float64)
    assert clip.bodies.shape == (2, content["total_frames"], 17, 3) == (2, 163, 17, 3)
    x, y = (keypoint[..., 0] - width / 2) / height, (height / 2 - keypoint[..., 1]) / height
    expected = np.stack([x, y, content["keypoint_score"]], axis=-1)
    expected[content["keypoint_score"] <= 0] = 0
    order = [0, 1] if np.allclose(clip.bodies[0], expected[0], atol=1e-3) else [1, 0]
    np.testing.assert_allclose(clip.bodies, expected[order], atol=1e-3)


def test_several_annotations(tmp_path: Path) -> None:
    many = [annotation(), annotation(frame_dir="b", keypoint=np.ones((1, 5, 17, 2)))]
    many[1] |= {"total_frames": 5, "keypoint_score": np.ones((1, 5, 17))}
    for content in (many, {"split": {"train": ["a", "b"]}, "annotations": many}):
        path = written(content, tmp_path)
        with pytest.raises(
            ValueError, match=r"it has 2 clips; choose one by clip=\.\.\., such as a, b"
        ):
            read_clip(path)
        assert read_clip(path, clip="b").num_frames == 5
        assert read_clip(path, clip=0).num_frames == 7
        with pytest.raises(ValueError, match="it has no clip 'c'; it has 2, such as a, b"):
            read_clip(path, clip="c")


def test_people_and_frames_that_were_swapped(tmp_path: Path) -> None:
    right = annotation(
        keypoint=RNG.uniform(1, 9, (2, 7, 17, 2)), keypoint_score=np.ones((2, 7, 17))
    )
    wrong = right | {
        "keypoint": right["keypoint"].swapaxes(0, 1),
        "keypoint_score": right["keypoint_score"].swapaxes(0, 1),
    }
    expected = read_clip(written(right, tmp_path), people=2).bodies
    np.testing.assert_array_equal(read_clip(written(wrong, tmp_path), people=2).bodies, expected)


def test_layouts_by_joints_scores_and_channels(tmp_path: Path) -> None:
    in_3d = annotation(keypoint=RNG.uniform(0, 1, (1, 7, 25, 3)))
    del in_3d["keypoint_score"]
    clip = read_clip(written(in_3d, tmp_path))
    assert clip.skeleton == "ntu25"
    np.testing.assert_allclose(clip.bodies, in_3d["keypoint"], atol=1e-6)
    pictures = annotation(keypoint=np.ones((1, 7, 25, 2)), keypoint_score=np.ones((1, 7, 25)))
    assert read_clip(written(pictures, tmp_path)).skeleton == "openpose25"
    lifted = in_3d | {"keypoint": RNG.uniform(0, 1, (1, 7, 17, 3))}
    with pytest.raises(ValueError, match=r"17 joints with 3 coordinates .*say which: skeleton="):
        read_clip(written(lifted, tmp_path))
    assert read_clip(written(lifted, tmp_path), skeleton="h36m17").bodies.shape == (1, 7, 17, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoint": np.ones((7, 17))}, r"keypoint must be \[M, T, V, C\], got shape \(7, 17\)"),
        ({"keypoint_score": np.ones((1, 7, 16))}, r"keypoint_score has shape \(1, 7, 16\)"),
        ({"img_shape": (0, 0)}, "size must be the picture's"),
        ({"keypoint": np.ones((1, 7, 17, 1))}, "joints have 1 coordinates"),
    ],
)
def test_damage(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = written([annotation(**changes)], tmp_path)
    with pytest.raises(ValueError, match=rf"a\.pkl cannot be read as 'pyskl': .*{message}"):
        read_clip(path)
