"""What joints are called: one table of synonyms, by which layouts are matched.

A name is split into a side and the rest, in any of the usual spellings: ``left_knee``,
``KneeLeft``, ``LKnee``, ``mixamorig:LeftLeg`` and ``Bip01 L Calf`` are all the left knee.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from pyg_fsar.skeleton import Skeleton

__all__ = ["SYNONYMS", "joint_sources", "left_right_pairs", "split_side", "unknown_joints"]

# Joint -> what it is called, the best first. In files of animation programs a joint bears the name
# of the bone that starts there ("LeftForeArm" is the elbow), and "LeftShoulder" is the collar-bone
# if there is a "LeftArm": so names of bones come first.
CENTRE = {
    "pelvis": "pelvis hips spinebase hipcenter midhip hip root",
    "spine": "spine spinemid spinenaval spinenavel abdomen spine1 lowerback",
    "chest": "chest spinechest spine2 upperchest",
    "thorax": "thorax spineshoulder shouldercenter",
    "neck": "neck lowerneck neck1 spineshoulder shouldercenter",
    "head": "head headcenter headtop topofhead tophead nose",
    "nose": "nose",
}
SIDED = {
    "shoulder": "arm upperarm uparm shldr humerus acromion acromium sho shoulder",
    "elbow": "forearm lowerarm lowarm radius ulna elb elbow",
    "wrist": "wrist wra wristlat hand",
    "hand": "hand palm",
    "hip": "upleg upperleg thigh femur asis asi hip hipjoint",
    "knee": "leg lowerleg lowleg shin calf tibia kne knee",
    "ankle": "ankle ank foot",
    "foot": "toebase toe toes bigtoe footindex foot",
    "toes": "toes toe toebase bigtoe footindex",
    "heel": "heel hee",
    "clavicle": "clavicle collar collarbone",
}
#: Joint -> its names, the best first; ``"*_"`` stands for a side.
SYNONYMS: dict[str, tuple[str, ...]] = {joint: tuple(n.split()) for joint, n in CENTRE.items()}
SYNONYMS |= {f"*_{joint}": tuple(names.split()) for joint, names in SIDED.items()}

# Joints that lie midway between two others where a layout has none of their names.
MIDPOINTS = {
    "pelvis": ("left_hip", "right_hip"),
    "neck": ("left_shoulder", "right_shoulder"),
    "thorax": ("left_shoulder", "right_shoulder"),
}
# A layout with one of these names its joints after the bones that start there.
BONES = {
    *("arm", "upperarm", "uparm", "shldr", "forearm", "lowerarm", "lowarm"),
    *("upleg", "upperleg", "thigh", "leg", "lowerleg", "lowleg", "shin", "calf"),
}
# What programs put before or after a name.
DECORATION = {"bip", "biped", "character", "mixamorig", "joint", "jnt"}
# Parts whose names are understood but not matched with others: fingers, faces, vertebrae, ends.
MINOR = re.compile(
    r"(hand|infoot|inhand)?(thumb|index|middle|mid|ring|pinky|little|finger|knuckle|metacarpal|carpal|smalltoe"
    r"|eye|ear|brow|jaw|mouth|tongue|teeth|lip|skull|face)\w*"
    r"|\w+(end|endsite|nub|tip|site)|(upper)?(spine|neck|chest|head)\d*"
)


@lru_cache(maxsize=4096)
def split_side(name: str) -> tuple[str, str]:
    """The side (``"left"``, ``"right"`` or nothing) that a name tells, and the rest of it.

    Example:
        >>> split_side("mixamorig:LeftForeArm"), split_side("KneeRight"), split_side("Hips")
        (('left', 'forearm'), ('right', 'knee'), ('', 'hips'))
    """
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name.rsplit(":", 1)[-1])
    words = [word.lower().lstrip("0") or "0" for word in words]
    for number, word in enumerate(words[:-1]):
        if word in DECORATION and words[number + 1].isdigit():  # Bip01, Character1
            words[number + 1] = ""
    words = [word for word in words if word and word not in DECORATION]
    for side in ("left", "right"):
        rest = [word for word in words if word not in (side, side[0])]
        if 0 < len(rest) < len(words) and not "".join(rest).isdigit():  # "L5" is a vertebra
            return side, "".join(rest)
    whole = "".join(words)
    for side in ("left", "right"):
        for stem in (whole.removeprefix(side), whole.removesuffix(side)):
            if stem and stem != whole:
                return side, stem
        if whole.startswith(side[0]) and whole[1:] in _SIDED_NAMES and whole not in _CENTRE_NAMES:
            return side, whole[1:]
    return "", whole


def left_right_pairs(joints: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Pairs ``(left, right)`` of joints whose names differ in the side alone."""
    by_name: dict[tuple[str, str], int] = {}
    for number, joint in enumerate(joints):
        by_name.setdefault(split_side(joint), number)
    return tuple(
        (left, by_name["right", rest])
        for (side, rest), left in by_name.items()
        if side == "left" and ("right", rest) in by_name
    )


def joint_sources(
    source: Skeleton, target: Skeleton, names: Mapping[str, str | None] | None = None
) -> list[tuple[int, int] | None]:
    """Where each joint of a layout is to be had in another.

    Args:
        source: The layout that is there.
        target: The layout that is wanted.
        names: Joints of ``source`` by what they are in this package's words; None means nothing.

    Returns:
        For each joint of ``target`` the two joints of ``source`` it lies midway between (twice the
        same where it is one of them), or None where ``source`` has nothing of the kind.
    """
    names = names or {}
    places: dict[tuple[str, str], int] = {}
    # What the caller says has precedence.
    for number, joint in sorted(enumerate(source.joints), key=lambda pair: pair[1] not in names):
        if (called := names.get(joint, joint)) is not None:
            places.setdefault(split_side(called), number)
    bones = any(side and rest in BONES for side, rest in places)

    def find(side: str, rest: str) -> int | None:
        group = _group(side, rest)
        known = SYNONYMS.get(group, ())
        # Where joints are named as joints, a name means what it says.
        order = known if bones and rest in known else (rest, *known)
        return next((places[side, name] for name in order if (side, name) in places), None)

    found: list[tuple[int, int] | None] = []
    for joint in target.joints:
        side, rest = split_side(joint)
        ends = [find(side, rest)] * 2
        if None in ends:
            ends = [find(*split_side(end)) for end in MIDPOINTS.get(_group(side, rest), ())]
        first, second = ends or (None, None)
        found.append(None if first is None or second is None else (first, second))
    return found


def unknown_joints(joints: Iterable[str]) -> list[str]:
    """Names that say nothing: neither in the table nor those of minor parts."""
    return [
        joint
        for joint in joints
        if (rest := split_side(joint)[1]) not in _CENTRE_NAMES | _SIDED_NAMES
        and not MINOR.fullmatch(rest)
    ]


def _group(side: str, rest: str) -> str:
    """The key of :data:`SYNONYMS` under which a name falls."""
    prefix = "*_" if side else ""
    if prefix + rest in SYNONYMS:
        return prefix + rest
    keys = (key for key in SYNONYMS if key.startswith("*_") == bool(side))
    return next((key for key in keys if rest in SYNONYMS[key]), "")


_CENTRE_NAMES = frozenset(name for names in CENTRE.values() for name in names.split())
_SIDED_NAMES = frozenset(name for names in SIDED.values() for name in names.split())
