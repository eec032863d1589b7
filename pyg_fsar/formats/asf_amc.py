"""ASF/AMC: a skeleton in one file (ASF), its motion in another (AMC)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pyg_fsar.formats.base import Format, Recording
from pyg_fsar.formats.kinematics import (
    euler_rotation,
    file_layout,
    forward_kinematics,
    numbers,
    text_lines,
)
from pyg_fsar.formats.source import Source
from pyg_fsar.skeleton import Skeleton

__all__ = ["ASF_AMC"]

# A bone of the skeleton of CMU and HDM05 -> the joint at its end.
MIDDLE = {
    "root": "pelvis",
    "lowerback": "spine",
    "upperback": "chest",
    "thorax": "neck",
    "lowerneck": "upper_neck",
    "upperneck": "skull_base",
    "head": "head",
}
SIDES = {
    "hipjoint": "hip",
    "femur": "knee",
    "tibia": "ankle",
    "foot": "foot",
    "toes": "toes",
    "clavicle": "shoulder",
    "humerus": "elbow",
    "radius": "wrist",
    "wrist": "hand",
    "hand": "knuckles",
    "fingers": "fingers",
    "thumb": "thumb",
}
JOINT_OF = MIDDLE | {
    f"{side[0]}{bone}": f"{side}_{joint}"
    for side in ("left", "right")
    for bone, joint in SIDES.items()
}
INCH = 0.0254
ORDER = ("TX", "TY", "TZ", "RX", "RY", "RZ")


@dataclass
class Bone:
    """A bone of the skeleton, or its root, which has no length."""

    name: str
    direction: np.ndarray = field(default_factory=lambda: np.zeros(3))
    length: float = 0.0
    axis: np.ndarray = field(default_factory=lambda: np.eye(3))
    order: str = "XYZ"  # of rotations, the first done first
    dof: tuple[str, ...] = ()


def matches(source: Source) -> bool:
    """A text whose first line but comments and ``:KEYWORDS`` is the number of a frame, and whose
    next one has the name of a bone and its angles.
    """
    lines = source.head_text.splitlines()[:200]
    frame = [line.split() for line in lines if line.strip() and line.lstrip()[0] not in "#:"][:2]
    return (
        len(frame) == 2
        and len(frame[0]) == 1
        and frame[0][0].isdigit()
        and len(frame[1]) > 1
        and frame[1][0].isalpha()
        and all(re.fullmatch(r"[-+.\deE]+", word) for word in frame[1][1:])
    )


def read(source: Source, *, asf: str | Path | None = None, scale: float | None = None) -> Recording:
    """Read a motion and the skeleton that it moves.

    Args:
        source: The AMC file.
        asf: The ASF file. By default one beside it or in a folder ``asf`` beside its folder or the
            one above, whose name is how that of the motion starts, as ``02.asf`` for ``02_03.amc``;
            or the only one beside it.
        scale: Metres that a unit of the files is. By default the ASF file tells, in inches.
    """
    if scale is not None and not 0 < scale < np.inf:
        raise ValueError(f"scale must be a positive number of metres, got {scale}")
    skeleton = Source(asf) if asf is not None else Source(_find_asf(source.path))
    try:
        bones, parents, unit = _skeleton(text_lines(skeleton))
    except ValueError as error:
        raise ValueError(f"its skeleton {skeleton.path.name}: {error}") from error
    layout, order = _layout(bones, parents)
    motion, num_frames = _motion(source, bones)

    def turn(joint: int, frames: slice) -> np.ndarray:
        bone = bones[joint]
        angle = dict(zip(bone.dof, motion[bone.name].T, strict=True))
        axes = bone.order[::-1]
        zero = np.zeros(num_frames)
        angles = np.stack([angle.get(f"R{axis}", zero)[frames] for axis in axes], axis=-1)
        return bone.axis @ euler_rotation(angles, axes) @ bone.axis.T

    root = dict(zip(bones[0].dof, motion[bones[0].name].T, strict=True))
    place = np.stack([root.get(f"T{axis}", np.zeros(num_frames)) for axis in "XYZ"], axis=-1)
    offsets = [place + bones[0].direction, *(bone.direction * bone.length for bone in bones[1:])]
    places = forward_kinematics(parents, offsets, turn, num_frames, ends=True)[:, order]
    frame = np.arange(num_frames)
    scaled = places * np.float32(unit if scale is None else scale)
    return Recording(scaled, frame, num_frames, layout, np.zeros_like(frame))


def _find_asf(path: Path) -> Path:
    folders = [path.parent, path.parent / "asf"]
    folders += [parent / "asf" for parent in path.resolve().parent.parents[:2]]
    stem = path.stem.lower()
    for folder in folders:
        if not folder.is_dir():
            continue
        found = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".asf")
        fitting = [p for p in found if re.match(rf"{re.escape(p.stem.lower())}([^a-z0-9]|$)", stem)]
        if fitting:
            return max(fitting, key=lambda p: len(p.stem))
        if len(found) == 1 and folder == path.parent:
            return found[0]
    raise ValueError(
        "found no skeleton for it: put the ASF file beside it, or in a folder asf beside its "
        "folder, under a name with which that of the motion starts; or give asf=PATH"
    )


def _layout(bones: list[Bone], parents: list[int | None]) -> tuple[Skeleton, list[int]]:
    """The layout of the joints at the ends of bones, and the order in which it has them."""
    joints = [JOINT_OF.get(bone.name.lower(), bone.name) for bone in bones]
    layout = file_layout("asf", joints, parents)
    known = Skeleton.get("cmu31")

    def named(skeleton: Skeleton) -> set[tuple[str, str]]:
        return {(skeleton.joints[a], skeleton.joints[b]) for a, b in skeleton.bones}

    if set(joints) == set(known.joints) and named(layout) == named(known):
        return known, [joints.index(joint) for joint in known.joints]
    return layout, list(range(len(joints)))


def _skeleton(lines: list[str]) -> tuple[list[Bone], list[int | None], float]:
    """Bones, parents first; the number of each one's parent; and metres per unit of length."""
    sections: dict[str, list[list[str]]] = {}
    for line in lines:
        words = line.split("#")[0].replace("(", " ").replace(")", " ").split()
        if words and words[0].startswith(":"):
            sections[words[0].lower()] = section = []
        elif words and sections:
            section.append(words)
    if not {":root", ":bonedata", ":hierarchy"} <= sections.keys():
        raise ValueError("it lacks one of :root, :bonedata and :hierarchy")
    units = {words[0].lower(): words[1] for words in sections.get(":units", []) if words[1:]}
    length = float(units.get("length", 1))
    if not 0 < length < np.inf:
        raise ValueError(f"its unit of length is {length}")
    radians = units.get("angle", "deg").lower().startswith("rad")
    named = {"root": _bone("root", sections[":root"], radians)}
    entry: list[list[str]] = []
    for words in sections[":bonedata"]:
        if words[0].lower() == "begin":
            entry = []
        elif words[0].lower() == "end":
            name = next((rest[0] for key, *rest in entry if key.lower() == "name" and rest), "")
            named[name] = _bone(name, entry, radians)
        else:
            entry.append(words)
    bones, parents = [named["root"]], [None]
    numbered: dict[str, int] = {"root": 0}
    for parent, *children in sections[":hierarchy"]:
        if parent.lower() in ("begin", "end"):
            continue
        for child in children:
            if parent not in numbered or child not in named or child in numbered:
                raise ValueError(f":hierarchy has '{parent[:40]} {child[:40]}', which fits no bone")
            numbered[child] = len(bones)
            bones.append(named[child])
            parents.append(numbered[parent])  # type: ignore[arg-type]
    return bones, list(parents), INCH / length


def _bone(name: str, entry: list[list[str]], radians: bool) -> Bone:
    bone = Bone(name)
    axis = np.zeros(3)
    for key, *rest in entry:
        match key.lower():
            case "direction" | "position":  # the root's, which is added to its motion
                bone.direction = numbers([" ".join(rest)])
            case "length":
                bone.length = float(rest[0])
            case "axis":
                axis = numbers([" ".join(rest[:3])]) if len(rest) > 1 else axis
                bone.order = rest[-1].upper()
            case "orientation":
                axis = numbers([" ".join(rest)])
            case "dof" | "order":
                bone.dof = tuple(word.upper() for word in rest)
    if len(bone.direction) != 3 or len(axis) != 3 or sorted(bone.order) != ["X", "Y", "Z"]:
        raise ValueError(f"bone '{name[:40]}' has a direction or axis that is not three numbers")
    if not set(bone.dof) <= set(ORDER) or len(set(bone.dof)) < len(bone.dof):
        raise ValueError(f"bone '{name[:40]}' has degrees of freedom that are unknown")
    axis = axis if radians else np.radians(axis)
    bone.axis = euler_rotation(axis[::-1], bone.order[::-1])
    return bone


def _motion(source: Source, bones: list[Bone]) -> tuple[dict[str, np.ndarray], int]:
    """The values of each bone's degrees of freedom, ``[T, dof]``, and the number of frames."""
    radians = False
    rows: dict[str, list[str]] = {bone.name: [] for bone in bones}
    num_frames = 0
    for line in text_lines(source):
        words = line.split(None, 1)
        if not words or words[0].startswith("#"):
            continue
        if words[0].startswith(":"):
            radians |= words[0].lower() == ":radians"
        elif len(words) == 1 and words[0].isdigit():
            num_frames += 1
        elif words[0] not in rows:
            raise ValueError(
                f"it moves a bone '{words[0][:40]}' that its skeleton lacks: give the right ASF "
                "file with asf=..., if this is not it"
            )
        else:
            rows[words[0]].append(words[1] if len(words) > 1 else "")
    motion = {}
    for bone in bones:
        values, dof = numbers(rows[bone.name]), len(bone.dof)
        if not rows[bone.name]:  # rests
            values = np.zeros(num_frames * dof)
        elif len(rows[bone.name]) != num_frames or len(values) != num_frames * dof:
            raise ValueError(
                f"bone '{bone.name[:40]}' has {len(values)} numbers in {num_frames} frames, not "
                f"{dof} in each; the file is cut off, or its skeleton is another"
            )
        turns = np.array([name.startswith("R") for name in bone.dof], dtype=bool)
        table = values.reshape(num_frames, dof)
        motion[bone.name] = table if radians else np.where(turns, np.radians(table), table)
    return motion, num_frames


ASF_AMC = Format(
    matches,
    read,
    files="AMC file, with its ASF file",
    layout="cmu31, or that of the file",
    units="metres",
)
