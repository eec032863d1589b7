"""Rest pose and forward kinematics for any human skeleton layout."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pyg_fsar.skeleton import Skeleton

__all__ = ["Body"]

# Where joints are on an upright adult with hanging arms, in metres: to the left, up, forward.
# Joints of the right side mirror those of the left.
CENTRE: dict[str, tuple[float, float, float]] = {
    "spine_base hip_center mid_hip pelvis": (0, 0.95, 0),
    "spine_navel": (0, 1.1, 0),
    "spine_mid spine": (0, 1.2, 0),
    "spine_chest chest": (0, 1.35, 0),
    "spine_shoulder shoulder_center thorax": (0, 1.42, 0),
    "neck": (0, 1.5, 0),
    "upper_neck": (0, 1.55, 0),
    "skull_base": (0, 1.6, 0),
    "nose": (0, 1.62, 0.1),
    "head": (0, 1.68, 0),
}
SIDE: dict[str, tuple[float, float, float]] = {
    "clavicle": (0.05, 1.44, 0),
    "shoulder": (0.18, 1.42, 0),
    "elbow": (0.21, 1.13, 0),
    "wrist": (0.22, 0.88, 0.02),
    "hand": (0.22, 0.8, 0.03),
    "hand_tip fingers": (0.22, 0.71, 0.04),
    "knuckles": (0.22, 0.76, 0.04),
    "thumb": (0.19, 0.79, 0.08),
    "index": (0.21, 0.72, 0.06),
    "pinky": (0.23, 0.74, 0),
    "hip": (0.1, 0.93, 0),
    "knee": (0.11, 0.5, 0.01),
    "ankle": (0.11, 0.09, 0),
    "foot": (0.12, 0.04, 0.13),
    "foot_index toes": (0.12, 0.02, 0.18),
    "big_toe": (0.11, 0.02, 0.19),
    "small_toe": (0.16, 0.02, 0.15),
    "heel": (0.11, 0.03, -0.06),
    "eye_inner": (0.02, 1.66, 0.09),
    "eye": (0.035, 1.66, 0.09),
    "eye_outer": (0.05, 1.66, 0.08),
    "ear": (0.08, 1.64, 0.01),
    "mouth": (0.025, 1.56, 0.09),
}
REST = {name: place for names, place in CENTRE.items() for name in names.split()}
REST |= {f"left_{name}": place for names, place in SIDE.items() for name in names.split()}
REST |= {f"right_{name}": (-x, y, z) for names, (x, y, z) in SIDE.items() for name in names.split()}

# The bones that turn, by the joint at their far end, and the freedoms that turn them: the axis is
# x (forward) or z (sideways), and the sign makes a positive angle the way a joint bends.
LIMBS = {
    "elbow": {"arm_forward": (0, -1), "arm_sideways": (2, 1)},
    "wrist": {"elbow": (0, -1)},
    "knee": {"leg_forward": (0, -1), "leg_sideways": (2, 1)},
    "ankle": {"knee": (0, 1)},
}


class Body:
    """A skeleton as a body in rest, and how it moves.

    Args:
        skeleton: Layout of the joints.

    Raises:
        ValueError: If the layout lacks a joint that has to move.
    """

    def __init__(self, skeleton: Skeleton) -> None:
        needed = {f"{side}_{joint}" for side in ("left", "right") for joint in (*LIMBS, "hip")}
        missing = sorted(needed.difference(skeleton.joints))
        if missing:
            movable = [n for n in Skeleton.available() if needed <= set(Skeleton.get(n).joints)]
            raise ValueError(
                f"skeleton '{skeleton.name}' has no {', '.join(missing)}, which generated motions "
                f"need; choose one of {', '.join(movable)}"
            )
        self.skeleton = skeleton
        self.order = sorted(
            range(skeleton.num_joints), key=lambda joint: len(_way_to_root(skeleton, joint))
        )
        self.rest = np.zeros((skeleton.num_joints, 3))
        for joint in self.order:
            # A joint that nothing is known of stands a hand's breadth above its parent.
            above = self.rest[skeleton.parents[joint]] + (0, 0.1, 0)
            self.rest[joint] = REST.get(skeleton.joints[joint], above)
        self.hips = [skeleton.joint("left_hip"), skeleton.joint("right_hip")]
        legs = {"left_knee", "right_knee"}
        self.upper = np.array(
            [
                joint not in self.hips
                and legs.isdisjoint(skeleton.joints[n] for n in _way_to_root(skeleton, joint))
                for joint in range(skeleton.num_joints)
            ]
        )

    def resize(self, rng: np.random.Generator) -> np.ndarray:
        """Bones ``[V, 3]`` of a random body, each joint relative to its parent, left as right."""
        bones = self.rest - self.rest[list(self.skeleton.parents)]
        factors = rng.normal(1, 0.06, len(bones))
        mirror = np.array(self.skeleton.mirror)
        return bones * rng.uniform(0.85, 1.15) * np.maximum(factors, factors[mirror])[:, None]

    def move(
        self, bones: np.ndarray, freedoms: Mapping[str, np.ndarray], num_frames: int
    ) -> np.ndarray:
        """The joints of a moving body, which stands on the ground unless it jumps.

        Args:
            bones: Bones at rest.
            freedoms: Course in time of each degree of freedom that is not zero.
            num_frames: Number of frames.

        Shapes:
            - **bones:** ``[V, 3]``
            - **freedoms:** each ``[T]``
            - **output:** ``[T, V, 3]``
        """
        layout = self.skeleton
        joints = np.zeros((num_frames, len(bones), 3))
        turned = np.broadcast_to(np.eye(3), (layout.num_joints, num_frames, 3, 3)).copy()
        for joint in self.order:
            parent = layout.parents[joint]
            if parent == joint:
                continue
            side, _, limb = layout.joints[joint].partition("_")
            rotation = turned[parent]
            for freedom, (axis, sign) in LIMBS.get(limb, {}).items():
                course = freedoms.get(f"{side}_{freedom}")
                if course is not None:
                    if axis == 2 and side == "right":
                        sign = -sign
                    rotation = rotation @ _rotation(sign * course, axis)
            turned[joint] = rotation
            joints[:, joint] = joints[:, parent] + rotation @ bones[joint]
        pelvis = joints[:, self.hips].mean(axis=1, keepdims=True)
        if "bow" in freedoms:
            bowed = (joints - pelvis) @ _rotation(-freedoms["bow"], 0)
            joints[:, self.upper] = (bowed + pelvis)[:, self.upper]
        joints -= pelvis * (1, 0, 1)
        if "turn" in freedoms:
            joints = joints @ _rotation(freedoms["turn"], 1)
        joints[..., 1] -= joints[..., 1].min(axis=1, keepdims=True)
        if "jump" in freedoms:
            joints[..., 1] += freedoms["jump"][:, None]
        return joints


def _way_to_root(skeleton: Skeleton, joint: int) -> list[int]:
    way = [joint]
    while skeleton.parents[way[-1]] != way[-1]:
        way.append(skeleton.parents[way[-1]])
    return way


def _rotation(angle: np.ndarray, axis: int) -> np.ndarray:
    """Rotations about a coordinate axis, ``[T]`` -> ``[T, 3, 3]``."""
    a, b = [(1, 2), (2, 0), (0, 1)][axis]
    rotation = np.zeros((len(angle), 3, 3))
    rotation[:, axis, axis] = 1
    rotation[:, a, a] = rotation[:, b, b] = np.cos(angle)
    rotation[:, b, a] = np.sin(angle)
    rotation[:, a, b] = -rotation[:, b, a]
    return rotation
