"""The layouts that :meth:`pyg_fsar.Skeleton.get` knows from the start, and which are usual."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pyg_fsar.skeleton import Skeleton

__all__ = ["IN_FILES", "usual_layout"]

# The layout meant by a number of joints and of channels where nothing else is known. What several
# layouts could be, such as 17 joints with three channels (coco17 with a score, or 3D), is not here.
USUAL = {
    (17, 2): "coco17",
    (18, 2): "openpose18",
    (18, 3): "openpose18",
    (20, 3): "kinect20",
    (25, 2): "openpose25",
    (25, 3): "ntu25",
    (33, 3): "mediapipe33",
    (33, 4): "mediapipe33",
}


def usual_layout(
    num_joints: int, num_channels: int, scored: bool | None = None, what: str = "clip"
) -> Skeleton:
    """The layout that data without a name of its layout most likely has.

    Args:
        num_joints: Number of joints.
        num_channels: Number of channels of each joint.
        scored: Whether the last channel is a confidence score; ``None`` if that is not known.
        what: What the data is, for the message.

    Raises:
        ValueError: If no layout, or more than one, fits.
    """
    dims = num_channels - bool(scored)
    name = USUAL.get((num_joints, dims))
    layout = None if name is None else Skeleton.get(name)
    if layout is None or (scored is not None and layout.dims != dims):
        fitting = [n for n in Skeleton.available() if Skeleton.get(n).num_joints == num_joints]
        known = f"; with as many joints there are {', '.join(fitting)}" if fitting else ""
        channels = f"{dims} coordinates and a score" if scored else f"{num_channels} channels"
        raise ValueError(
            f"{what} has {num_joints} joints with {channels} (axes V, C), which is the shape of no "
            f"or several layouts; say which layout it is: skeleton=...{known}"
        )
    return layout


def _layout(
    name: str, center: str, joints: str, bones: str, parts: Mapping[str, str], dims: int = 3
) -> Skeleton:
    """Build a layout from short text: bones as ``child-parent``, pairs found by name."""
    names = tuple(joints.split())
    number = {joint: index for index, joint in enumerate(names)}
    return Skeleton(
        name=name,
        joints=names,
        bones=tuple(
            (number[child], number[parent])
            for child, parent in (bone.split("-") for bone in bones.split())
        ),
        center=number[center],
        pairs=tuple(
            (index, number[joint.replace("left_", "right_")])
            for index, joint in enumerate(names)
            if joint.startswith("left_")
        ),
        parts={
            part: tuple(number[joint] for joint in members.split())
            for part, members in parts.items()
        },
        dims=dims,
    )


def _both_sides(text: str) -> str:
    """Repeat a text of ``left_*`` names for the right side."""
    return f"{text} {text.replace('left_', 'right_')}"


def _limbs(arm: str, leg: str) -> dict[str, str]:
    sides = {"left_arm": arm, "left_leg": leg}
    mirrored = {k: v.replace("left_", "right_") for k, v in sides.items()}
    return sides | {key.replace("left_", "right_"): value for key, value in mirrored.items()}


Skeleton.register(
    _layout(  # Kinect v2: NTU RGB+D 60 and 120, PKU-MMD
        "ntu25",
        center="spine_shoulder",
        joints="spine_base spine_mid neck head "
        "left_shoulder left_elbow left_wrist left_hand "
        "right_shoulder right_elbow right_wrist right_hand "
        "left_hip left_knee left_ankle left_foot right_hip right_knee right_ankle right_foot "
        "spine_shoulder left_hand_tip left_thumb right_hand_tip right_thumb",
        bones="spine_base-spine_mid spine_mid-spine_shoulder neck-spine_shoulder head-neck "
        + _both_sides(
            "left_shoulder-spine_shoulder left_elbow-left_shoulder left_wrist-left_elbow "
            "left_hand-left_wrist left_thumb-left_hand left_hand_tip-left_thumb "
            "left_hip-spine_base left_knee-left_hip left_ankle-left_knee left_foot-left_ankle"
        ),
        parts={"torso": "spine_base spine_mid spine_shoulder neck", "head": "head"}
        | _limbs(
            "left_shoulder left_elbow left_wrist left_hand left_hand_tip left_thumb",
            "left_hip left_knee left_ankle left_foot",
        ),
    )
)

Skeleton.register(
    _layout(  # Kinect v1, in the joint order of UTD-MHAD
        "kinect20",
        center="shoulder_center",
        joints="head shoulder_center spine hip_center "
        + "left_shoulder left_elbow left_wrist left_hand "
        "right_shoulder right_elbow right_wrist right_hand "
        + _both_sides("left_hip left_knee left_ankle left_foot"),
        bones="head-shoulder_center spine-shoulder_center hip_center-spine "
        + _both_sides(
            "left_shoulder-shoulder_center left_elbow-left_shoulder left_wrist-left_elbow "
            "left_hand-left_wrist left_hip-hip_center left_knee-left_hip left_ankle-left_knee "
            "left_foot-left_ankle"
        ),
        parts={"torso": "shoulder_center spine hip_center", "head": "head"}
        | _limbs(
            "left_shoulder left_elbow left_wrist left_hand",
            "left_hip left_knee left_ankle left_foot",
        ),
    )
)

Skeleton.register(
    _layout(  # OpenPose in COCO order: Kinetics-skeleton
        "openpose18",
        dims=2,
        center="neck",
        joints="nose neck right_shoulder right_elbow right_wrist "
        "left_shoulder left_elbow left_wrist right_hip right_knee right_ankle "
        "left_hip left_knee left_ankle right_eye left_eye right_ear left_ear",
        bones="nose-neck "
        + _both_sides(
            "left_shoulder-neck left_elbow-left_shoulder left_wrist-left_elbow "
            "left_hip-left_shoulder left_knee-left_hip left_ankle-left_knee "
            "left_eye-nose left_ear-left_eye"
        ),
        parts={"torso": "neck", "head": "nose left_eye right_eye left_ear right_ear"}
        | _limbs("left_shoulder left_elbow left_wrist", "left_hip left_knee left_ankle"),
    )
)

Skeleton.register(
    _layout(  # OpenPose BODY_25
        "openpose25",
        dims=2,
        center="neck",
        joints="nose neck right_shoulder right_elbow right_wrist "
        "left_shoulder left_elbow left_wrist mid_hip right_hip right_knee right_ankle "
        "left_hip left_knee left_ankle right_eye left_eye right_ear left_ear "
        "left_big_toe left_small_toe left_heel right_big_toe right_small_toe right_heel",
        bones="nose-neck mid_hip-neck "
        + _both_sides(
            "left_shoulder-neck left_elbow-left_shoulder left_wrist-left_elbow "
            "left_hip-mid_hip left_knee-left_hip left_ankle-left_knee left_eye-nose "
            "left_ear-left_eye left_big_toe-left_ankle left_small_toe-left_big_toe "
            "left_heel-left_ankle"
        ),
        parts={"torso": "neck mid_hip", "head": "nose left_eye right_eye left_ear right_ear"}
        | _limbs(
            "left_shoulder left_elbow left_wrist",
            "left_hip left_knee left_ankle left_big_toe left_small_toe left_heel",
        ),
    )
)

Skeleton.register(
    _layout(  # COCO keypoints: HRNet and most 2D pose estimators, PYSKL's files
        "coco17",
        dims=2,
        center="nose",
        joints="nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder "
        "left_elbow right_elbow left_wrist right_wrist left_hip right_hip left_knee right_knee "
        "left_ankle right_ankle",
        bones=_both_sides(
            "left_eye-nose left_ear-left_eye left_shoulder-nose left_elbow-left_shoulder "
            "left_wrist-left_elbow left_hip-left_shoulder left_knee-left_hip left_ankle-left_knee"
        ),
        parts={"head": "nose left_eye right_eye left_ear right_ear"}
        | _limbs("left_shoulder left_elbow left_wrist", "left_hip left_knee left_ankle"),
    )
)

Skeleton.register(
    _layout(  # Human3.6M: most 2D-to-3D lifting models
        "h36m17",
        center="thorax",
        joints="pelvis right_hip right_knee right_ankle left_hip left_knee left_ankle "
        "spine thorax neck head left_shoulder left_elbow left_wrist "
        "right_shoulder right_elbow right_wrist",
        bones="pelvis-spine spine-thorax neck-thorax head-neck "
        + _both_sides(
            "left_shoulder-thorax left_elbow-left_shoulder left_wrist-left_elbow "
            "left_hip-pelvis left_knee-left_hip left_ankle-left_knee"
        ),
        parts={"torso": "pelvis spine thorax", "head": "neck head"}
        | _limbs("left_shoulder left_elbow left_wrist", "left_hip left_knee left_ankle"),
    )
)

Skeleton.register(
    _layout(  # MediaPipe Pose; its own face and trunk outlines are loops, this is a tree
        "mediapipe33",
        center="nose",
        joints="nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye "
        "right_eye_outer left_ear right_ear left_mouth right_mouth left_shoulder right_shoulder "
        "left_elbow right_elbow left_wrist right_wrist left_pinky right_pinky left_index "
        "right_index left_thumb right_thumb left_hip right_hip left_knee right_knee left_ankle "
        "right_ankle left_heel right_heel left_foot_index right_foot_index",
        bones=_both_sides(
            "left_eye_inner-nose left_eye-left_eye_inner left_eye_outer-left_eye "
            "left_ear-left_eye_outer left_mouth-nose left_shoulder-nose left_elbow-left_shoulder "
            "left_wrist-left_elbow left_pinky-left_wrist left_index-left_wrist "
            "left_thumb-left_wrist left_hip-left_shoulder left_knee-left_hip left_ankle-left_knee "
            "left_heel-left_ankle left_foot_index-left_heel"
        ),
        parts={
            "head": "nose "
            + _both_sides("left_eye_inner left_eye left_eye_outer left_ear left_mouth")
        }
        | _limbs(
            "left_shoulder left_elbow left_wrist left_pinky left_index left_thumb",
            "left_hip left_knee left_ankle left_heel left_foot_index",
        ),
    )
)

for _name, _dims in (("body15", 3), ("body15_2d", 2)):
    Skeleton.register(
        _layout(  # What nearly every layout has: MapJoints takes others to it
            _name,
            dims=_dims,
            center="pelvis",
            joints="pelvis neck head left_shoulder right_shoulder left_elbow right_elbow "
            "left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle",
            bones="neck-pelvis head-neck "
            + _both_sides(
                "left_shoulder-neck left_elbow-left_shoulder left_wrist-left_elbow "
                "left_hip-pelvis left_knee-left_hip left_ankle-left_knee"
            ),
            parts={"torso": "pelvis neck", "head": "head"}
            | _limbs("left_shoulder left_elbow left_wrist", "left_hip left_knee left_ankle"),
        )
    )

for _name in ("cmu31", "hdm31"):
    Skeleton.register(
        _layout(  # CMU's and HDM05's ASF files share one skeleton: its root, then ends of bones
            _name,
            center="pelvis",
            joints="pelvis "
            + _both_sides("left_hip left_knee left_ankle left_foot left_toes")
            + " spine chest neck upper_neck skull_base head "
            + _both_sides(
                "left_shoulder left_elbow left_wrist left_hand left_knuckles left_fingers "
                "left_thumb"
            ),
            bones="spine-pelvis chest-spine neck-chest upper_neck-neck skull_base-upper_neck "
            "head-skull_base "
            + _both_sides(
                "left_hip-pelvis left_knee-left_hip left_ankle-left_knee left_foot-left_ankle "
                "left_toes-left_foot left_shoulder-neck left_elbow-left_shoulder "
                "left_wrist-left_elbow left_hand-left_wrist left_knuckles-left_hand "
                "left_fingers-left_knuckles left_thumb-left_hand"
            ),
            parts={"torso": "pelvis spine chest neck", "head": "upper_neck skull_base head"}
            | _limbs(
                "left_shoulder left_elbow left_wrist left_hand left_knuckles left_fingers "
                "left_thumb",
                "left_hip left_knee left_ankle left_foot left_toes",
            ),
        )
    )

_FINGERS = ("index", "middle", "ring", "pinky")

Skeleton.register(
    _layout(  # One hand: MediaPipe Hands, FreiHAND, HaGRID in PYSKL's files
        "hand21",
        dims=2,
        center="wrist",
        joints="wrist thumb_cmc thumb_mcp thumb_ip thumb_tip "
        + " ".join(f"{f}_mcp {f}_pip {f}_dip {f}_tip" for f in _FINGERS),
        bones="thumb_cmc-wrist thumb_mcp-thumb_cmc thumb_ip-thumb_mcp thumb_tip-thumb_ip "
        + " ".join(
            f"{f}_mcp-wrist {f}_pip-{f}_mcp {f}_dip-{f}_pip {f}_tip-{f}_dip" for f in _FINGERS
        ),
        parts={"palm": "wrist", "thumb": "thumb_cmc thumb_mcp thumb_ip thumb_tip"}
        | {f: f"{f}_mcp {f}_pip {f}_dip {f}_tip" for f in _FINGERS},
    )
)

# The same joints where they were found in a picture without depth.
Skeleton.register(replace(Skeleton.get("mediapipe33"), name="mediapipe33_2d", dims=2))

Skeleton.register(
    _layout(  # Halpe full body without face and hands: AlphaPose
        "halpe26",
        dims=2,
        center="neck",
        joints="nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder "
        "left_elbow right_elbow left_wrist right_wrist left_hip right_hip left_knee right_knee "
        "left_ankle right_ankle head neck mid_hip left_big_toe right_big_toe left_small_toe "
        "right_small_toe left_heel right_heel",
        bones="mid_hip-neck nose-neck head-nose "
        + _both_sides(
            "left_eye-nose left_ear-left_eye left_shoulder-neck left_elbow-left_shoulder "
            "left_wrist-left_elbow left_hip-mid_hip left_knee-left_hip left_ankle-left_knee "
            "left_heel-left_ankle left_big_toe-left_ankle left_small_toe-left_big_toe"
        ),
        parts={
            "torso": "neck mid_hip",
            "head": "nose head left_eye right_eye left_ear right_ear",
        }
        | _limbs(
            "left_shoulder left_elbow left_wrist",
            "left_hip left_knee left_ankle left_big_toe left_small_toe left_heel",
        ),
    )
)

Skeleton.register(
    _layout(  # Azure Kinect
        "azure32",
        center="spine_chest",
        joints="pelvis spine_navel spine_chest neck "
        + _both_sides(
            "left_clavicle left_shoulder left_elbow left_wrist left_hand left_hand_tip left_thumb"
        )
        + " "
        + _both_sides("left_hip left_knee left_ankle left_foot")
        + " head nose left_eye left_ear right_eye right_ear",
        bones="pelvis-spine_navel spine_navel-spine_chest neck-spine_chest head-neck nose-head "
        + _both_sides(
            "left_clavicle-spine_chest left_shoulder-left_clavicle left_elbow-left_shoulder "
            "left_wrist-left_elbow left_hand-left_wrist left_hand_tip-left_hand "
            "left_thumb-left_wrist left_hip-pelvis left_knee-left_hip left_ankle-left_knee "
            "left_foot-left_ankle left_eye-nose left_ear-left_eye"
        ),
        parts={
            "torso": "pelvis spine_navel spine_chest neck",
            "head": "head nose left_eye right_eye left_ear right_ear",
        }
        | _limbs(
            "left_clavicle left_shoulder left_elbow left_wrist left_hand left_hand_tip left_thumb",
            "left_hip left_knee left_ankle left_foot",
        ),
    )
)

#: Layouts that bare numbers in a file may be of: those of this package and of nothing registered
#: later, and neither its own layouts nor the same joints under a second name.
IN_FILES = tuple(sorted(set(Skeleton.available()).difference({"body15", "body15_2d", "hdm31"})))
