"""What formats of captured motion share: layouts made from files, and forward kinematics."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Sequence

import numpy as np

from pyg_fsar.formats.source import Source, encoding
from pyg_fsar.joint_names import left_right_pairs
from pyg_fsar.skeleton import Skeleton

__all__ = [
    "MAX_JOINTS",
    "body_unit",
    "euler_rotation",
    "file_layout",
    "forward_kinematics",
    "numbers",
    "text_lines",
]

MAX_JOINTS = 1000
MAX_NAME = 100
# Of a text: one line of numbers becomes many times as large in memory.
MAX_TEXT = 2**27
MAX_LINE = 2**20
# Metres that a number may stand for, and the longest way along the bones of an adult: from toe to
# fingertip. Units differ by a factor of two or more, people by less.
UNITS = {"m": 1.0, "cmu": 0.0254 / 0.45, "inch": 0.0254, "cm": 0.01, "mm": 0.001}
LONGEST_WAY = 2.3
# Rotations take 72 bytes a joint and frame, so as many frames at a time.
CHUNK = 4096


def text_lines(source: Source) -> list[str]:
    """The lines of a text; bytes in comments that are no UTF-8 are replaced.

    Raises:
        ValueError: If the text or a line is so long that it is no recording.
    """
    if len(source.raw) > MAX_TEXT:
        raise ValueError(f"its text is longer than {MAX_TEXT // 2**20} MiB; split the recording")
    lines = source.raw.decode(encoding(source.raw), errors="replace").splitlines()
    if max(map(len, lines), default=0) > MAX_LINE:
        raise ValueError("a line is longer than 1 MiB, which no frame is")
    return lines


def numbers(lines: Sequence[str], first: int = 0) -> np.ndarray:
    """All numbers in some lines of text, ``[N]`` float64.

    Args:
        lines: The lines.
        first: Number of the first line, for messages.

    Raises:
        ValueError: If a word is no number; the message names the line.
    """
    values = array("d")
    for count, line in enumerate(lines):
        try:
            values.extend(map(float, line.split()))
        except ValueError as error:
            raise ValueError(f"line {first + count + 1}: {error}") from error
    return np.frombuffer(values) if values else np.zeros(0)


def file_layout(
    kind: str, joints: Sequence[str], parents: Sequence[int | None], dims: int = 3
) -> Skeleton:
    """The layout of a file that says itself which joints it has.

    Files with the same joints and bones get the same layout, whose name tells them.

    Args:
        kind: What the name of the layout starts with.
        joints: Names of the joints.
        parents: Number of each joint's parent, None for a root or a marker on no bone.
        dims: Number of coordinates.

    Raises:
        ValueError: If there is no joint or very many, or names repeat.
    """
    if not 0 < len(joints) <= MAX_JOINTS:
        raise ValueError(f"it has {len(joints)} joints or markers, not 1 to {MAX_JOINTS}")
    if max(map(len, joints)) > MAX_NAME or not all(joints):
        raise ValueError(f"a joint's name is empty or longer than {MAX_NAME} characters")
    if len(set(joints)) < len(joints):
        raise ValueError(f"joint name '{max(joints, key=list(joints).count)}' repeats")
    bones = tuple((child, parent) for child, parent in enumerate(parents) if parent is not None)
    digest = hashlib.sha256(repr((tuple(joints), bones, dims)).encode()).hexdigest()[:8]
    return Skeleton(
        f"{kind}{len(joints)}-{digest}",
        tuple(joints),
        bones,
        pairs=left_right_pairs(tuple(joints)),
        dims=dims,
    )


def euler_rotation(angles: np.ndarray, axes: str) -> np.ndarray:
    """Product of rotations about coordinate axes, the first of ``axes`` standing leftmost.

    Args:
        angles: Angles in radians.
        axes: An axis for each, such as ``"ZYX"``.

    Shapes:
        - **angles:** ``[..., len(axes)]``
        - **output:** ``[..., 3, 3]``
    """
    rotation = np.broadcast_to(np.eye(3), (*angles.shape[:-1], 3, 3))
    for angle, axis in zip(np.moveaxis(angles, -1, 0), axes, strict=True):
        a, b = {"X": (1, 2), "Y": (2, 0), "Z": (0, 1)}[axis]
        one = np.zeros((*angle.shape, 3, 3))
        one[..., 3 - a - b, 3 - a - b] = 1
        one[..., a, a] = one[..., b, b] = np.cos(angle)
        one[..., b, a] = np.sin(angle)
        one[..., a, b] = -one[..., b, a]
        rotation = rotation @ one
    return rotation


def forward_kinematics(
    parents: Sequence[int | None],
    offsets: Sequence[np.ndarray],
    turn: Callable[[int, slice], np.ndarray],
    num_frames: int,
    ends: bool = False,
) -> np.ndarray:
    """Places of the joints of a tree whose bones turn.

    Args:
        parents: Number of each joint's parent, which comes before it; None for the root.
        offsets: Where each joint is, seen from its parent; the root's is its place.
        turn: Rotations of a joint against its parent, for some frames: ``turn(joint, frames)``.
        num_frames: Number of frames.
        ends: A bone ends at its joint, and turns with the joint, not with the parent.

    Shapes:
        - **offsets:** each ``[3]`` or ``[T, 3]``
        - **turn:** ``[t, 3, 3]`` or ``[3, 3]``
        - **output:** float32 ``[T, V, 3]``
    """
    places = np.empty((num_frames, len(parents), 3), dtype=np.float32)
    for start in range(0, num_frames, CHUNK):
        frames = slice(start, min(start + CHUNK, num_frames))
        turned: list[np.ndarray] = []
        here: list[np.ndarray] = []
        for joint, parent in enumerate(parents):
            offset = offsets[joint][frames] if offsets[joint].ndim == 2 else offsets[joint]
            if parent is None:
                turned.append(turn(joint, frames))
                here.append(offset)
            else:
                turned.append(turned[parent] @ turn(joint, frames))
                by = turned[joint] if ends else turned[parent]
                here.append(here[parent] + (by @ offset[..., None])[..., 0])
            places[frames, joint] = here[joint]
    return places


def body_unit(parents: Sequence[int | None], offsets: np.ndarray) -> float:
    """How many metres a unit of length is, by the size of a body: a file may not tell.

    Args:
        parents: Number of each joint's parent, which comes before it; None for the root.
        offsets: Bones at rest.

    Shapes:
        - **offsets:** ``[V, 3]``
    """
    lengths = np.linalg.norm(offsets, axis=-1)
    down = np.zeros(len(parents))  # the longest way from a joint to the end of a limb
    longest = 0.0
    for joint in range(len(parents) - 1, -1, -1):
        parent = parents[joint]
        if parent is not None:
            way = down[joint] + lengths[joint]
            longest = max(longest, down[parent] + way)
            down[parent] = max(down[parent], way)
    if not 0 < longest < np.inf:
        raise ValueError("its bones have no length")
    return min(UNITS.values(), key=lambda unit: abs(np.log(longest * unit / LONGEST_WAY)))
