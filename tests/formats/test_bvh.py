from __future__ import annotations

import numpy as np
import pytest

from pyg_fsar import Skeleton
from pyg_fsar.formats import read_clip, recognise
from pyg_fsar.transforms import MapJoints

HEAD = """HIERARCHY
ROOT Hips
{
\tOFFSET 0 0 0
\tCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
\tJOINT Left Leg {
\t\tOFFSET 0.1 -0.5 0
\t\tCHANNELS 3 Zrotation Xrotation Yrotation
\t\tJOINT Left Foot
\t\t{
\t\t\tOFFSET 0 -0.5 0
\t\t\tCHANNELS 1 Xrotation
\t\t\tEnd Site
\t\t\t{
\t\t\t\tOFFSET 0 0 0.2
\t\t\t}
\t\t}
\t}
}
MOTION
Frames: {frames}
Frame Time: 0.02
"""


def write(path, rows, frames=None, head=HEAD):
    text = head.replace("{frames}", str(len(rows) if frames is None else frames))
    path.write_text(text + "\n".join(" ".join(map(str, row)) for row in rows) + "\n")
    return path


def test_places_by_hand(tmp_path):
    rest = [0, 1, 0, *[0] * 7]
    turned = [1, 2, 3, 0, 0, 90, *[0] * 4]  # about y: x becomes -z
    kicked = [0, 1, 0, 0, 0, 0, 0, -90, 0, 90]  # the thigh forward, what is below hangs down
    path = write(tmp_path / "leg.bvh", [rest, turned, kicked])
    clip = read_clip(path, scale=1.0)
    assert (clip.format, clip.name, clip.fps) == ("bvh", "leg", 50)
    assert clip.joint_names == ("Hips", "Left Leg", "Left Foot")
    assert Skeleton.get(clip.skeleton).parents == (0, 0, 1)
    expected = [
        [[0, 1, 0], [0.1, 0.5, 0], [0.1, 0, 0]],
        [[1, 2, 3], [1, 1.5, 2.9], [1, 1, 2.9]],
        [[0, 1, 0], [0.1, 0.5, 0], [0.1, 0.5, 0.5]],
    ]
    np.testing.assert_allclose(clip.bodies[0], expected, atol=1e-6)
    np.testing.assert_allclose(read_clip(path, scale=0.01).x, clip.x * 0.01, atol=1e-6)
    upright = read_clip(path, scale=1.0, up="z").bodies[0, 0]
    np.testing.assert_allclose(upright, [[0, 0, -1], [0.1, 0, -0.5], [0.1, 0, 0]], atol=1e-6)


def test_files_with_the_same_joints_share_a_layout(tmp_path):
    clips = [read_clip(write(tmp_path / f"{n}.bvh", [[0, 1, *[n] * 8]] * 2)) for n in range(2)]
    assert clips[0].skeleton == clips[1].skeleton
    other = read_clip(
        write(tmp_path / "2.bvh", [[0, 1, *[0] * 8]], head=HEAD.replace("Leg", "Arm"))
    )
    assert other.skeleton != clips[0].skeleton


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("JOINT Left Foot", "ROOT Left Foot"), "one ROOT"),
        (("OFFSET 0.1 -0.5 0", "OFFSET 0.1 -0.5"), "'Left Leg': OFFSET has no three"),
        (("OFFSET 0.1 -0.5 0", "OFFSET 0.1 x 0"), "could not convert"),
        (("CHANNELS 1 Xrotation", "CHANNELS 2 Xrotation"), "CHANNELS '2 Xrotation' make no sense"),
        (("Left Foot", "Hips"), "joint name 'Hips' repeats"),
        (("\t}\n}\n", "\t}\n"), "HIERARCHY is not whole"),
        (("MOTION", ""), "no MOTION"),
        (("Frame Time: 0.02", ""), "lacks 'Frames:' or 'Frame Time:'"),
        (("Frame Time", "Frames: 3\nFrame Time"), "lacks|cut off"),
        (("{frames}", "1000000000000"), "1e.12 frames of 10 channels, but has 20 numbers"),
    ],
)
def test_damaged_files_are_refused_by_name(tmp_path, change, message):
    head = HEAD.replace(*change)
    assert head != HEAD
    path = write(tmp_path / "broken.bvh", [[0, 1, *[0] * 8]] * 2, head=head)
    with pytest.raises(ValueError, match=message) as error:
        read_clip(path)
    assert "broken.bvh" in str(error.value) and len(str(error.value)) < 500


def test_a_cut_file_is_refused(tmp_path):
    path = write(tmp_path / "cut.bvh", [[0, 1, *[0] * 8]] * 5)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="5 frames of 10 channels, but has 4"):
        read_clip(path)


@pytest.mark.parametrize("up", ["x", "", 3])
def test_bad_options(tmp_path, up):
    path = write(tmp_path / "a.bvh", [[0, 1, *[0] * 8]])
    with pytest.raises(ValueError, match="up must be 'y' or 'z'"):
        read_clip(path, up=up)
    with pytest.raises(ValueError, match="scale must be a positive number"):
        read_clip(path, scale=-1.0)


GENUINE = {"neutral_16_000.bvh": (150, 31), "AV_8Walk_Meredith_HVHA_Rep1.bvh": (1064, 23)}


@pytest.mark.parametrize("name", GENUINE)
def test_genuine_files_agree_with_another_library(formats_root, name):
    pybvh = pytest.importorskip("pybvh")
    path = formats_root / "bvh" / name
    other = pybvh.read_bvh_file(path)
    clip = read_clip(path, scale=0.0254)
    assert recognise(path) == "bvh"
    assert clip.bodies.shape == (1, *GENUINE[name], 3)
    assert list(clip.joint_names) == list(other.joint_names)
    np.testing.assert_allclose(clip.bodies[0], other.joint_positions() * 0.0254, atol=1e-5)
    assert clip.fps == pytest.approx(120, abs=0.01)


@pytest.mark.parametrize("name", GENUINE)
def test_genuine_people_are_as_large_as_people(formats_root, name):
    clip = MapJoints("body15")(read_clip(formats_root / "bvh" / name))
    joints = dict(zip(clip.joint_names, clip.bodies[0].unbind(1), strict=True))
    leg = (joints["left_hip"] - joints["left_knee"]).norm(dim=-1)
    leg += (joints["left_knee"] - joints["left_ankle"]).norm(dim=-1)
    assert 0.7 < leg.mean() < 0.95 and leg.std() < 1e-3
    assert (joints["head"][:, 1] > joints["pelvis"][:, 1]).all()
