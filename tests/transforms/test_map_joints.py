from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.datasets.fake_body import Body
from pyg_fsar.skeleton import SKELETONS, Skeleton
from pyg_fsar.testing import assert_transform
from pyg_fsar.transforms import CenterOnJoint, MapJoints, ScaleByTorso

HUMAN = [name for name in Skeleton.available() if name != "hand21"]
NAMES = Skeleton.get("body15").joints


def standing(name: str, num_frames: int = 3) -> SkeletonSequence:
    """A standing person, left at positive x, facing positive z, with a score if 2D."""
    layout = Skeleton.get(name)
    rest = np.broadcast_to(Body(layout).rest, (1, num_frames, layout.num_joints, 3)).copy()
    if layout.dims == 2:
        rest[..., 2] = np.linspace(0.5, 1, layout.num_joints)
    return SkeletonSequence.from_bodies(rest + 1e-3, y=3, skeleton=name, name="standing")


def joints_of(clip: SkeletonSequence) -> dict[str, torch.Tensor]:
    return dict(zip(Skeleton.get(clip.skeleton).joints, clip.bodies[0, 0], strict=True))


@pytest.mark.parametrize("name", HUMAN)
def test_every_layout_gives_a_whole_body15(name: str) -> None:
    clip = standing(name)
    mapped = MapJoints("body15")(clip)
    dims = Skeleton.get(name).dims
    assert mapped.skeleton == ("body15" if dims == 3 else "body15_2d")
    assert Skeleton.get(mapped.skeleton).dims == dims
    assert (mapped.y, mapped.name, mapped.num_frames) == (3, "standing", 3)
    there, source = joints_of(mapped), joints_of(clip)
    assert list(there) == list(NAMES) and all(place.any() for place in there.values())
    for joint, place in there.items():
        if joint in source:
            assert torch.equal(place, source[joint])
        if joint.startswith("left_"):
            mirrored = there[joint.replace("left_", "right_")]
            assert place[0] > 0.05 > -0.05 > mirrored[0] and place[1] == mirrored[1]
    chain = ("head", "neck", "left_shoulder", "pelvis", "left_hip", "left_knee", "left_ankle")
    heights = [float(there[joint][1]) for joint in chain]
    assert heights[0] > heights[1] >= heights[2] > heights[3] >= heights[4] > heights[5]
    assert heights == sorted(heights, reverse=True)
    for joint in ("pelvis", "neck", "head"):
        assert abs(float(there[joint][0])) < 0.01
    assert 1.3 < float(there["neck"][1]) < 1.55 < float(there["head"][1])
    ScaleByTorso()(mapped)


@pytest.mark.parametrize("target", HUMAN)
@pytest.mark.parametrize("name", HUMAN)
def test_rules_of_transforms_hold_between_all_layouts(name: str, target: str) -> None:
    layout = Skeleton.get(name)
    shape = (2, 4, layout.num_joints, layout.dims + (layout.dims == 2))
    clip = SkeletonSequence.from_bodies(torch.randn(shape), y=1, skeleton=name, name="random")
    assert_transform(MapJoints(target), clip)
    mapped = MapJoints(target)(clip)
    assert mapped.bodies.shape[-1] == 3
    if Skeleton.get(mapped.skeleton).joints == layout.joints:
        assert torch.equal(mapped.x, clip.x)


def test_midpoints_lie_between_and_missing_ends_make_none() -> None:
    clip = standing("coco17")
    layout = Skeleton.get("coco17")
    hips = [layout.joint("left_hip"), layout.joint("right_hip")]
    expected = clip.bodies[0, 0, hips].mean(dim=0)
    clip.x[1, hips[1]] = 0
    clip.x[2, hips[0]] = torch.nan
    pelvis = MapJoints("body15")(clip).bodies[0, :, NAMES.index("pelvis")]
    torch.testing.assert_close(pelvis[0], expected)  # the score too
    assert (pelvis[1:] == 0).all()


def test_what_cannot_be_had_is_zero() -> None:
    mapped = MapJoints("ntu25")(standing("h36m17"))
    there = joints_of(mapped)
    absent = {joint for joint, place in there.items() if not place.any()}
    ends = {"hand", "hand_tip", "thumb", "foot"}
    assert absent == {f"{side}_{end}" for side in ("left", "right") for end in ends}


def test_a_joint_at_the_origin_is_still_there() -> None:
    clip = CenterOnJoint()(standing("kinect20"))  # on the shoulder centre, which becomes the neck
    mapped = MapJoints("body15")(clip)
    assert mapped.centered_on == NAMES.index("neck")
    assert "centered_on" not in MapJoints("body15")(CenterOnJoint("left_foot")(standing("ntu25")))


@pytest.mark.parametrize(
    ("joints", "expected"),
    [
        ("mixamorig:Hips mixamorig:Neck mixamorig:Head *Shoulder *Arm *ForeArm *Hand *UpLeg *Leg "
         "*Foot *ToeBase", "Hips Neck Head Arm ForeArm Hand UpLeg Leg Foot"),
        ("hip abdomen chest neck head *Collar *Shldr *ForeArm *Hand *Thigh *Shin *Foot",
         "hip neck head Shldr ForeArm Hand Thigh Shin Foot"),
        ("Bip01 Bip01_Pelvis Bip01_Neck Bip01_Head Bip01_*_Clavicle Bip01_*_UpperArm "
         "Bip01_*_Forearm Bip01_*_Hand Bip01_*_Thigh Bip01_*_Calf Bip01_*_Foot Bip01_*_Toe0",
         "Pelvis Neck Head UpperArm Forearm Hand Thigh Calf Foot"),
        ("Hips Chest Neck Head *Collar *Shoulder *Elbow *Wrist *Hip *Knee *Ankle",
         "Hips Neck Head Shoulder Elbow Wrist Hip Knee Ankle"),
        ("pelvis spine1 spine2 spine3 neck head *_collar *_shoulder *_elbow *_wrist *_hand *_hip "
         "*_knee *_ankle *_foot", "pelvis neck head shoulder elbow wrist hip knee ankle"),
        ("HipCenter Spine ShoulderCenter Head Shoulder* Elbow* Wrist* Hand* Hip* Knee* Ankle* "
         "Foot*",
         "HipCenter ShoulderCenter Head Shoulder Elbow Wrist Hip Knee Ankle"),
    ],
    ids=["mixamo", "poser", "biped", "old-bvh", "smpl", "kinect"],
)  # fmt: skip
@pytest.mark.parametrize("sides", [("Left", "Right"), ("L", "R"), ("left", "right")])
def test_names_of_files(joints: str, expected: str, sides: tuple[str, str]) -> None:
    names = [j.replace("*", s) for j in joints.split() for s in (sides if "*" in j else ("",))]
    layout = Skeleton("of_file", tuple(names), ((i, i - 1) for i in range(1, len(names))))
    places = torch.arange(1.0, len(names) + 1)[:, None].expand(1, 1, -1, 3)
    mapped = MapJoints("body15")(SkeletonSequence.from_bodies(places, skeleton=layout))
    taken = [names[int(place) - 1] for place in mapped.x[0, :, 0]]
    *limbs, _ = expected.split()
    for joint, name in zip(NAMES, taken, strict=True):
        assert any(word.lower() in name.lower() for word in (*limbs, expected.split()[-1])), joint
        side = {"l": sides[0], "r": sides[1]}.get(joint[0]) if "_" in joint else None
        assert side is None or side in name
    order = [word for word in expected.split()[3:] for _ in sides]
    assert all(word in name for word, name in zip(order, taken[3:], strict=True))


def test_unknown_names_are_listed_unless_nothing_is_lacking() -> None:
    joints = ("Hips", "Bone_003", "tail")
    layout = Skeleton("odd", joints, ((1, 0), (2, 1)))
    clip = SkeletonSequence.from_bodies(torch.ones(1, 2, 3, 3), skeleton=layout)
    with pytest.raises(
        ValueError, match=r"'odd' has joints of unknown names: Bone_003, tail\."
    ) as e:
        MapJoints("body15")(clip)
    assert "names={" in str(e.value) and len(str(e.value)) < 500
    named = MapJoints("body15", names={"Bone_003": "left_wrist", "tail": None})(clip)
    assert named.x.any(dim=-1).sum(dim=-1).tolist() == [2, 2]
    ignoring = MapJoints("body15", unknown="ignore")(clip)
    assert ignoring.x.any(dim=-1).sum(dim=-1).tolist() == [1, 1]
    pelvis = Skeleton("point_of_test", ("pelvis",), ())
    assert MapJoints(pelvis)(clip).bodies.shape == (1, 2, 1, 3)


def test_layouts_without_a_common_joint_are_refused() -> None:
    hand = SkeletonSequence.from_bodies(torch.ones(1, 2, 21, 3), skeleton="hand21")
    with pytest.raises(ValueError, match="'hand21' has no joint of 'body15': it has wrist, thumb"):
        MapJoints("body15")(hand)
    with pytest.raises(ValueError, match="unknown='skip' must be one of error, ignore"):
        MapJoints("body15", unknown="skip")
    with pytest.raises(ValueError, match="joints that are unknown: left_wirst; those of 'body15'"):
        MapJoints("body15", names={"Bone": "left_wirst"})
    with pytest.raises(ValueError, match="unknown skeleton layout 'body16'"):
        MapJoints("body16")


def test_a_fresh_process_knows_the_layouts_made() -> None:
    stored = pickle.dumps(MapJoints("coco17"))
    SKELETONS.pop("coco17_3d")
    again = pickle.loads(stored)
    assert again(standing("ntu25")).skeleton == "coco17_3d"
    assert Skeleton.get("coco17_3d").dims == 3


def test_names_of_a_recording_follow() -> None:
    clip = standing("ntu25")
    clip.joint_names = Skeleton.get("ntu25").joints
    assert MapJoints("body15")(clip).joint_names == NAMES
