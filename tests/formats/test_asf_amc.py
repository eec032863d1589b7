from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pyg_fsar import Skeleton
from pyg_fsar.formats import read_clip, recognise
from pyg_fsar.transforms import MapJoints

ASF = """# a comment
:version 1.10
:name test
:units
  mass 1.0
  length 0.45
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name upper
     direction 1 0 0
     length 2
     axis 0 0 90 XYZ
    dof rx rz
    limits (-160.0 20.0)
           (-70.0 70.0)
  end
  begin
     id 2
     name lower
     direction 0 -1 0
     length 1
     axis 0 0 0 XYZ
  end
:hierarchy
  begin
    root upper
    upper lower
  end
"""
AMC = """#!OML:ASF C:\\f\xfcr\\test.ASF
:FULLY-SPECIFIED
:DEGREES
1
root 0 0 0 0 0 0
upper 0 0
2
root 1 2 3 0 90 0
upper 90 0
"""


def write(folder, asf=ASF, amc=AMC, name="01_02.amc", asf_name="01.asf"):
    folder.mkdir(exist_ok=True, parents=True)
    (folder / asf_name).write_text(asf)
    (folder / name).write_bytes(amc.encode("latin-1"))
    return folder / name


def test_places_by_hand(tmp_path):
    unit = 0.0254 / 0.45
    path = write(tmp_path)
    clip = read_clip(path)
    assert (clip.format, recognise(path), clip.joint_names) == (
        "asf_amc", "asf_amc", ("pelvis", "upper", "lower")
    )  # fmt: skip
    expected = [
        [[0, 0, 0], [2, 0, 0], [2, -1, 0]],
        # The bone's own x axis points to the root's y, about which it turns by 90 degrees: x to -z.
        # The root does so once more: -z to -x.
        [[1, 2, 3], [-1, 2, 3], [-1, 1, 3]],
    ]
    np.testing.assert_allclose(clip.bodies[0] / unit, expected, atol=1e-5)
    np.testing.assert_allclose(read_clip(path, scale=1.0).bodies[0], expected, atol=1e-5)
    radians = AMC.replace("DEGREES", "RADIANS").replace("90", str(np.pi / 2))
    in_radians = read_clip(write(tmp_path / "radians", amc=radians), scale=1.0)
    np.testing.assert_allclose(in_radians.bodies[0], expected, atol=1e-5)
    assert "fps" not in clip
    assert read_clip(path, fps=120).fps == 120


def test_finds_its_skeleton(tmp_path):
    beside = write(tmp_path / "a", asf_name="other.asf")  # the only one there
    clip = read_clip(beside)
    deep = write(tmp_path / "b" / "amc" / "walk", name="HDM_bd_walk_01.amc")
    (deep.parent / "01.asf").unlink()
    with pytest.raises(ValueError, match="found no skeleton for it: put the ASF file beside it"):
        read_clip(deep)
    (tmp_path / "b" / "asf").mkdir()
    for person, length in (("bd", 2), ("bk", 5), ("b", 7)):
        text = ASF.replace("length 2", f"length {length}")
        (tmp_path / "b" / "asf" / f"HDM_{person}.ASF").write_text(text)
    assert torch.equal(read_clip(deep).x, clip.x)
    given = read_clip(deep, asf=tmp_path / "b" / "asf" / "HDM_bk.ASF")
    assert not torch.equal(given.x, clip.x)
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        read_clip(deep, asf="nowhere.asf")


@pytest.mark.parametrize(
    ("asf", "amc", "message"),
    [
        ((":hierarchy", ":nothing"), ("", ""), "skeleton 01.asf: it lacks one of :root"),
        (("upper lower", "upper arm"), ("", ""), ":hierarchy has 'upper arm'"),
        (("upper lower", "upper root"), ("", ""), ":hierarchy has 'upper root'"),
        (("dof rx rz", "dof rx rx"), ("", ""), "degrees of freedom that are unknown"),
        (("length 0.45", "length 0"), ("", ""), "unit of length is 0"),
        (("direction 1 0 0", "direction 1 0"), ("", ""), "'upper' has a direction or axis"),
        (("", ""), ("upper 90 0", "uper 90 0"), "bone 'uper' that its skeleton lacks"),
        (("", ""), ("upper 90 0", "upper 90"), "'upper' has 3 numbers in 2 frames, not 2 in each"),
        (("", ""), ("upper 90 0", ""), "'upper' has 2 numbers in 2 frames"),
        (("", ""), ("upper 90 0", "upper x 0"), "could not convert"),
    ],
)
def test_damaged_files_are_refused_by_name(tmp_path, asf, amc, message):
    path = write(tmp_path, ASF.replace(*asf), AMC.replace(*amc))
    with pytest.raises(ValueError, match=message) as error:
        read_clip(path)
    assert "01_02.amc" in str(error.value) and len(str(error.value)) < 500


# genuine files


def second_implementation(asf: str, amc: str) -> dict[str, np.ndarray]:
    """Ends of bones, each frame on its own and recursively, by SciPy's rotations."""
    unit = 0.0254 / float(re.search(r"length\s+(\S+)", asf)[1])
    bones = {}
    for text in re.findall(r"begin\s+id(.*?)end", asf, re.DOTALL):
        value = {key: rest.split() for key, rest in re.findall(r"(\w+)[ \t]+(.*)", text)}
        axis = Rotation.from_euler("xyz", [float(v) for v in value["axis"][:3]], degrees=True)
        vector = np.array(value["direction"], float) * float(value["length"][0])
        bones[value["name"][0]] = (vector, axis, value.get("dof", []))
    tree = re.search(r":hierarchy\s+begin(.*?)end", asf, re.DOTALL)[1]
    children = {line.split()[0]: line.split()[1:] for line in tree.strip().splitlines()}
    places = {name: [] for name in ("root", *bones)}
    for frame in re.split(r"\n\d+\s*\n", amc)[1:]:
        values = {
            line.split()[0]: [float(v) for v in line.split()[1:]] for line in frame.splitlines()
        }

        def visit(name, start, turned, values=values):
            for child in children.get(name, []):
                vector, axis, dof = bones[child]
                angle = dict(zip(dof, values.get(child, []), strict=True))
                own = Rotation.from_euler(
                    "xyz", [angle.get(f"r{a}", 0) for a in "xyz"], degrees=True
                )
                here = turned * axis * own * axis.inv()
                end = start + here.apply(vector)
                places[child].append(end * unit)
                visit(child, end, here)

        root = np.array(values["root"][:3])
        places["root"].append(root * unit)
        visit("root", root, Rotation.from_euler("xyz", values["root"][3:], degrees=True))
    return {name: np.array(course) for name, course in places.items()}


def genuine(formats_root, hdm05_root):
    yield formats_root / "asf_amc" / "02_03.amc", formats_root / "asf_amc" / "02.asf"
    for person in ("bd", "tr"):
        path = next((hdm05_root / "amc").rglob(f"HDM_{person}_*.amc"))
        yield path, hdm05_root / "asf" / f"HDM_{person}.asf"


def test_genuine_files_agree_with_a_second_implementation(formats_root, hdm05_root):
    for path, asf in genuine(formats_root, hdm05_root):
        clip = read_clip(path)
        assert clip.skeleton == "cmu31" and clip.num_bodies == 1
        expected = second_implementation(asf.read_text("latin-1"), path.read_text("latin-1"))
        order = {"root": "pelvis", "lhipjoint": "left_hip", "lfemur": "left_knee"}
        order |= {"thorax": "neck", "head": "head", "rclavicle": "right_shoulder"}
        order |= {"rradius": "right_wrist", "rtibia": "right_ankle", "lthumb": "left_thumb"}
        for bone, joint in order.items():
            course = clip.bodies[0, :, clip.joint_names.index(joint)]
            assert len(course) == len(expected[bone]) > 50
            np.testing.assert_allclose(course, expected[bone], atol=1e-4)  # of 1 mm


def test_genuine_bones_keep_their_length(hdm05_root):
    child, parent = np.array(Skeleton.get("cmu31").bones).T
    for path in sorted((hdm05_root / "amc").rglob("*.amc"))[::20]:
        body = read_clip(path).bodies[0].double()
        length = (body[:, child] - body[:, parent]).norm(dim=-1)
        assert (length.std(dim=0) / length.mean(dim=0)).max() < 1e-3
        joints = dict(zip(Skeleton.get("cmu31").joints, body.unbind(1), strict=True))
        thigh = (joints["left_hip"] - joints["left_knee"]).norm(dim=-1).mean()
        assert 0.35 < thigh < 0.55
        assert 1.2 < (joints["head"] - joints["left_ankle"]).norm(dim=-1).max() < 2


def test_genuine_clips_map_to_body15(hdm05_root):
    for path in sorted((hdm05_root / "amc" / "squat1Reps").glob("*.amc"))[:3]:
        clip = MapJoints("body15")(read_clip(path))
        joints = dict(zip(clip.joint_names, clip.bodies[0, 0], strict=True))
        assert joints["head"][1] > joints["neck"][1] > joints["pelvis"][1] > joints["left_knee"][1]


def test_copied_files_need_their_skeleton(hdm05_root, tmp_path):
    path = next((hdm05_root / "amc").rglob("*.amc"))
    shutil.copy(path, tmp_path)
    with pytest.raises(ValueError, match="put the ASF file beside it"):
        read_clip(tmp_path / path.name)
