"""BVH: a tree of joints with offsets, and its motion as Euler angles."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from pyg_fsar.formats.base import Format, Recording
from pyg_fsar.formats.kinematics import (
    MAX_JOINTS,
    body_unit,
    euler_rotation,
    file_layout,
    forward_kinematics,
    numbers,
    text_lines,
)
from pyg_fsar.formats.source import Source

__all__ = ["BVH"]

BRACE = re.compile(r"([{}])")
CHANNEL = re.compile(r"([XYZ])(position|rotation)", re.IGNORECASE)


@dataclass
class Joint:
    """A joint of the hierarchy."""

    name: str
    parent: int | None
    offset: np.ndarray = field(default_factory=lambda: np.zeros(3))
    channels: list[tuple[str, str]] = field(default_factory=list)  # axis, position or rotation


def matches(source: Source) -> bool:
    """A text that starts with the word HIERARCHY."""
    return source.head_text.lstrip()[:9].upper() == "HIERARCHY"


def read(source: Source, *, scale: float | None = None, up: str = "y") -> Recording:
    """Read a file.

    Args:
        source: The file.
        scale: Metres that a unit of the file is. By default what makes the body most nearly as
            large as an adult: metres, centimetres, millimetres, inches or CMU's 0.0564 m.
        up: The axis that points up, ``"y"`` or ``"z"``.
    """
    if up not in ("y", "z"):
        raise ValueError(f"up must be 'y' or 'z', got {up!r}")
    if scale is not None and not 0 < scale < np.inf:
        raise ValueError(f"scale must be a positive number of metres, got {scale}")
    lines = text_lines(source)
    start = next((n for n, line in enumerate(lines) if line.strip().upper() == "MOTION"), None)
    if start is None:
        raise ValueError("it has no MOTION part")
    joints = _hierarchy(lines[:start])
    num_frames, seconds, motion = _motion(lines, start + 1, sum(len(j.channels) for j in joints))
    parents = [joint.parent for joint in joints]
    layout = file_layout("bvh", [joint.name for joint in joints], parents)
    columns = np.cumsum([0, *(len(joint.channels) for joint in joints)])

    def course(joint: int, kind: str) -> tuple[str, np.ndarray]:
        """The axes of a joint's channels of one kind, and their values ``[T, channels]``."""
        found = [(axis, n) for n, (axis, k) in enumerate(joints[joint].channels) if k == kind]
        numbers = [columns[joint] + n for _, n in found]
        return "".join(axis for axis, _ in found), motion[:, numbers]

    offsets: list[np.ndarray] = []
    for number, joint in enumerate(joints):
        axes, places = course(number, "position")
        offsets.append(joint.offset)
        if axes:  # these channels take the place of the offset
            offsets[number] = np.tile(joint.offset, (num_frames, 1))
            offsets[number][:, ["XYZ".index(axis) for axis in axes]] = places

    def turn(joint: int, frames: slice) -> np.ndarray:
        axes, angles = course(joint, "rotation")
        return euler_rotation(np.radians(angles[frames]), axes)

    joints_at = forward_kinematics(parents, offsets, turn, num_frames)
    if scale is None:
        scale = body_unit(parents, np.stack([joint.offset for joint in joints]))
    if up == "z":
        joints_at = joints_at[..., [0, 2, 1]] * np.array((1, 1, -1), dtype=np.float32)
    fps = 1 / seconds if 0 < seconds < np.inf else None
    frame = np.arange(num_frames)
    return Recording(
        joints_at * np.float32(scale), frame, num_frames, layout, np.zeros_like(frame), fps
    )


def _hierarchy(lines: list[str]) -> list[Joint]:
    """The joints, parents before children; ends of limbs, which have no name, are left out."""
    joints: list[Joint] = []
    stack: list[int | None] = []  # the open braces: a joint, or None for the end of a limb
    opened: int | None = None  # what the next brace opens
    # A brace may stand on the line of a name.
    for line in (part for whole in lines for part in BRACE.split(whole)):
        word, rest = (*line.split(None, 1), "", "")[:2]
        word, rest = word.upper(), rest.strip()
        if word in ("ROOT", "JOINT"):
            if (word == "ROOT") != (not joints):
                raise ValueError(f"{word} '{rest[:40]}': a file has one ROOT, which comes first")
            if not stack and joints:
                raise ValueError(f"joint '{rest[:40]}' is outside of the root's braces")
            if len(joints) == MAX_JOINTS:
                raise ValueError(f"it has more than {MAX_JOINTS} joints")
            joints.append(Joint(rest, stack[-1] if stack else None))
            if joints[-1].parent is None and len(joints) > 1:
                raise ValueError(f"joint '{rest[:40]}' hangs on the end of a limb")
            opened = len(joints) - 1
        elif word == "END":
            opened = None
        elif word == "{":
            stack.append(opened)
        elif word == "}":
            if not stack:
                raise ValueError("a brace is closed that was not opened")
            stack.pop()
        elif word in ("OFFSET", "CHANNELS") and stack:
            if stack[-1] is None:
                continue
            joint = joints[stack[-1]]
            if word == "OFFSET":
                joint.offset = numbers([rest])
                if len(joint.offset) != 3:
                    raise ValueError(f"joint '{joint.name[:40]}': OFFSET has no three numbers")
            else:
                joint.channels = _channels(joint.name, rest)
        elif word not in ("", "HIERARCHY"):
            raise ValueError(f"it has '{line.strip()[:40]}' where OFFSET or JOINT is expected")
    if stack or not joints:
        raise ValueError("its HIERARCHY is not whole")
    return joints


def _channels(name: str, text: str) -> list[tuple[str, str]]:
    count, *words = text.split() or [""]
    found = [CHANNEL.fullmatch(word) for word in words]
    if not count.isdigit() or int(count) != len(found) or None in found:
        raise ValueError(f"joint '{name[:40]}': CHANNELS '{text[:60]}' make no sense")
    return [(m[1].upper(), m[2].lower()) for m in found if m]


def _motion(lines: list[str], start: int, num_channels: int) -> tuple[int, float, np.ndarray]:
    """The number of frames, seconds per frame, and the motion ``[T, channels]``."""
    head: dict[str, float] = {}
    while len(head) < 2 and start < len(lines):
        key, colon, value = lines[start].partition(":")
        start += 1
        if colon and "".join(key.upper().split()) in ("FRAMES", "FRAMETIME"):
            head["".join(key.upper().split())] = float(value)
        elif lines[start - 1].strip():
            break
    if len(head) < 2:
        raise ValueError("its MOTION lacks 'Frames:' or 'Frame Time:'")
    values = numbers(lines[start:], start)
    if num_channels == 0 or len(values) != head["FRAMES"] * num_channels:
        raise ValueError(
            f"it says {head['FRAMES']:g} frames of {num_channels} channels, but has {len(values)} "
            "numbers; it is cut off or damaged"
        )
    return int(head["FRAMES"]), head["FRAMETIME"], values.reshape(-1, num_channels)


BVH = Format(
    matches,
    read,
    files="BVH file",
    layout="that of the file",
    units="metres",
)
