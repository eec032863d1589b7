from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from pyg_fsar import Skeleton
from pyg_fsar.formats import read_clip

RNG = np.random.default_rng(0)


@pytest.fixture(scope="session")
def kinder_gator() -> Path:
    """Folder of Kinder-Gator; tests that need it skip where it is absent."""
    default = Path(__file__).parents[3] / "shared" / "data" / "Kinder-Gator"
    root = Path(os.environ.get("KINDER_GATOR_ROOT", default))
    if not root.is_dir():
        pytest.skip(f"Kinder-Gator is not at {root}; set KINDER_GATOR_ROOT to run this test")
    return root


def test_genuine_tables(kinder_gator: Path) -> None:
    paths = sorted(kinder_gator.rglob("*.csv"))[::120]
    for path in paths:
        with path.open() as file:
            rows = list(csv.DictReader(file))
        clip = read_clip(path)
        assert (clip.format, clip.skeleton) == ("joints_csv", "kinect20")
        assert clip.bodies.shape == (1, len(rows), 20, 3)
        assert 20 < clip.fps < 35
        joints = {"head": "Head", "left_hand": "HandLeft", "hip_center": "HipCenter"}
        for name, column in joints.items():
            expected = [[float(row[column + axis]) for axis in "XYZ"] for row in rows]
            np.testing.assert_allclose(
                clip.bodies[0, :, clip.joint_names.index(name)], expected, atol=1e-6
            )


def table(layout: str, style: str, values: np.ndarray, extra: str = "") -> str:
    axes = "xyz" if Skeleton.get(layout).dims == 3 else "xy"
    names = []
    for joint in Skeleton.get(layout).joints:
        side, _, rest = joint.partition("_")
        kinect = "".join(w.capitalize() for w in joint.split("_"))
        if side in ("left", "right"):
            kinect = "".join(w.capitalize() for w in rest.split("_")) + side.capitalize()
        shown = {"kinect": kinect, "snake": joint, "azure": kinect.upper()}[style]
        names += [
            f"{shown}{axis.upper()}" if style == "kinect" else f"{shown}_{axis}" for axis in axes
        ]
    rows = [",".join(map(str, frame.ravel())) for frame in values]
    return "\n".join([",".join(names), *rows])


@pytest.mark.parametrize(("layout", "style"), [("ntu25", "kinect"), ("kinect20", "snake")])
def test_kinects(layout: str, style: str, tmp_path: Path) -> None:
    values = RNG.uniform(-1, 1, (5, Skeleton.get(layout).num_joints, 3))
    (tmp_path / "a.csv").write_text(table(layout, style, values))
    clip = read_clip(tmp_path / "a.csv")
    assert (clip.format, clip.skeleton) == ("joints_csv", layout)
    np.testing.assert_allclose(clip.bodies[0], values, atol=1e-6)
    (tmp_path / "a.csv").write_text(table(layout, style, 1000 * values))  # millimetres
    np.testing.assert_allclose(read_clip(tmp_path / "a.csv").bodies[0], values, atol=1e-6)


def test_of_two_layouts_of_the_same_joints_the_package_s_own_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Skeleton.get("kinect20")
    turned = Skeleton("a_kinect20", own.joints[::-1], [(19 - a, 19 - b) for a, b in own.bones])
    registry = {"a_kinect20": turned}
    get, names = Skeleton.get, ("a_kinect20", *Skeleton.available())
    monkeypatch.setattr(Skeleton, "available", lambda: names)
    monkeypatch.setattr(Skeleton, "get", lambda name: registry.get(name) or get(name))
    (tmp_path / "a.csv").write_text(table("kinect20", "kinect", np.ones((3, 20, 3))))
    assert read_clip(tmp_path / "a.csv").skeleton == "kinect20"


def test_joints_in_pictures(tmp_path: Path) -> None:
    values = RNG.uniform(1, 400, (5, 17, 2))
    (tmp_path / "a.csv").write_text(table("coco17", "snake", values))
    clip = read_clip(tmp_path / "a.csv", size=(640, 480))
    assert clip.skeleton == "coco17"
    expected = [(values[2, 3, 0] - 320) / 480, (240 - values[2, 3, 1]) / 480, 1]
    assert clip.bodies[0, 2, 3].tolist() == pytest.approx(expected, abs=1e-5)


def test_several_people_and_a_layout_of_ones_own(tmp_path: Path) -> None:
    Skeleton.register(Skeleton("stick3", ("hip", "knee", "foot"), bones=((1, 0), (2, 1))))
    lines = ["frame,person,hip_x,hip_y,hip_z,knee_x,knee_y,knee_z,foot_x,foot_y,foot_z"]
    for frame in (4, 5, 6):
        for person, shift in (("ann", 0), ("bob", 5)):
            numbers = [shift + frame * (1 + shift) + n for n in range(9)]
            lines.append(",".join(map(str, [frame, person, *numbers])))
    (tmp_path / "a.csv").write_text("\n".join(lines))
    clips = read_clip(tmp_path / "a.csv", people="all")
    assert [clip.bodies[0, :, 0, 0].tolist() for clip in clips] == [[29, 35, 41], [4, 5, 6]]


def test_empty_cells_are_missing_joints(tmp_path: Path) -> None:
    text = table("kinect20", "kinect", np.ones((3, 20, 3))).split("\n")
    text[2] = text[2].replace("1.0,1.0,1.0", ",,", 1)
    (tmp_path / "a.csv").write_text("\n".join(text))
    there = read_clip(tmp_path / "a.csv").bodies[0].any(dim=-1)
    assert there.sum() == 59 and not there[1, 0]


def test_names_that_are_not_of_a_layout(tmp_path: Path) -> None:
    text = table("kinect20", "kinect", np.ones((3, 20, 3))).replace("Head", "Skull")
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=r"a\.csv is of no known format"):
        read_clip(tmp_path / "a.csv")
    with pytest.raises(ValueError, match="its columns are not those of x, y"):
        read_clip(tmp_path / "a.csv", format="joints_csv")


def test_size_of_a_picture_for_3d(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table("kinect20", "kinect", np.ones((3, 20, 3))))
    with pytest.raises(ValueError, match="size is for joints found in pictures; these are 3D"):
        read_clip(tmp_path / "a.csv", size=(640, 480))
