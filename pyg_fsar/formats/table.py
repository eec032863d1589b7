"""Tables of joints as text: one row a frame (wide), or one row a joint (long)."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from pyg_fsar.formats.base import Recording
from pyg_fsar.formats.source import Source
from pyg_fsar.formats.timeline import frames_of_numbers, rate_of_times
from pyg_fsar.layouts import IN_FILES
from pyg_fsar.skeleton import Skeleton

__all__ = ["Columns", "Joints", "joint_key", "read_columns", "read_joints", "read_rows"]

MAX_CHARACTERS = 2**26
MAX_PARSED = 2**30  # bytes of memory that the cells may take
MAX_NAME = 100
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
AXES = {"x": 0, "y": 1, "z": 2}
AXES |= dict.fromkeys(("visibility", "vis", "v", "score", "confidence", "conf", "c"), 3)
# Words that say nothing about which joint it is, and words that are written in several ways.
FILLERS = {"landmark", "joint", "keypoint", "kp", "point", "pose", "position", "pos"}
SAME = {"handtip": ("hand", "tip"), "l": ("left",), "r": ("right",)}
# What columns are called that hold no coordinates, without separators.
FRAME = ("frame", "framenumber", "frameid", "frameno", "framenum", "frameidx", "frameindex")
TIME = ("timestamp", "time", "timestampms", "timestampus", "timems", "seconds", "t")
PERSON = ("person", "personid", "userid", "user", "bodyid", "body", "trackid", "trackingid")
JOINT = (
    *("landmark", "landmarkid", "landmarkindex", "landmarkname", "joint", "jointid", "jointname"),
    *("jointtype", "keypoint", "keypointid", "name", "id"),
)

JointKey = frozenset[str]


@lru_cache(maxsize=4096)
def joint_key(name: str) -> JointKey:
    """The words of a joint's name in any order and style: ``ShoulderLeft`` is ``left_shoulder``."""
    return _key([word.lower() for word in WORD.findall(name)])


def _key(words: list[str]) -> JointKey:
    parts = [part for word in words for part in SAME.get(word, (word,))]
    return frozenset(parts) - FILLERS


@dataclass
class Columns:
    """What the columns of a table hold.

    Args:
        joints: Columns of each joint, by axis: 0 to 2 for x, y, z, and 3 for a score. In a long
            table the only entry has the empty key.
        others: Columns of frame, time, person and joint, as far as there are any.
        last: Number of the last column that counts.
    """

    joints: dict[JointKey, dict[int, int]] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    last: int = 0

    @property
    def is_long(self) -> bool:
        """Whether each row holds one joint."""
        return "joint" in self.others and {0, 1} <= self.joints.get(frozenset(), {}).keys()

    def has(self, axis: int) -> bool:
        """Whether all joints have a column for an axis."""
        return all(axis in columns for columns in self.joints.values())

    def layout(self) -> Skeleton | None:
        """The largest registered layout all joints of which a wide table has; of two with the same
        joints, the package's own.
        """
        named = {key for key, axes in self.joints.items() if {0, 1} <= axes.keys()}
        dims = 3 if any(2 in axes for axes in self.joints.values()) else 2
        layouts = [Skeleton.get(name) for name in Skeleton.available()]
        found = [
            layout
            for layout in layouts
            if layout.dims == dims and all(joint_key(joint) in named for joint in layout.joints)
        ]
        return max(
            found, key=lambda layout: (layout.num_joints, layout.name in IN_FILES), default=None
        )


@dataclass
class Joints:
    """Joints of a table: one row per person and frame.

    Args:
        names: Key of each joint, or of its number.
        values: x, y, z and score, NaN where the table has none.
        frame: Number of the frame of each row.
        num_frames: Number of frames.
        person: Number of the person of each row.
        fps: Frames per second by the time stamps, if there are any.

    Shapes:
        - **values:** ``[R, number of joints, 4]``
        - **frame, person:** ``[R]``
    """

    names: list[JointKey]
    values: np.ndarray
    frame: np.ndarray
    num_frames: int
    person: np.ndarray
    fps: float | None

    def recording(self, joints: np.ndarray, skeleton: str | Skeleton) -> Recording:
        """A recording of these frames and people with joints in a layout's order and axes."""
        return Recording(joints, self.frame, self.num_frames, skeleton, self.person, self.fps)


def read_columns(source: Source) -> Columns:
    """What the first line of a file says about its columns; nothing if it names none."""
    return _columns_of(source.head_text.lstrip().split("\n", 1)[0])


@lru_cache(maxsize=16)  # several formats ask
def _columns_of(line: str) -> Columns:
    columns = Columns()
    for place, name in enumerate(line.split(_delimiter(line))):
        words = [word.lower() for word in WORD.findall(name[:MAX_NAME])]
        joined = "".join(words)
        kinds = {"frame": FRAME, "time": TIME, "person": PERSON, "joint": JOINT}
        kind = next((kind for kind, names in kinds.items() if joined in names), None)
        if kind is not None:
            columns.others.setdefault(kind, place)
        elif words and words[-1] in AXES:
            columns.joints.setdefault(_key(words[:-1]), {})[AXES[words[-1]]] = place
        elif words and words[0] in AXES:
            columns.joints.setdefault(_key(words[1:]), {})[AXES[words[0]]] = place
        else:
            continue
        columns.last = place
    return columns


def read_joints(source: Source, columns: Columns) -> Joints:
    """Read a table whose columns are known."""
    rows = read_rows(source)[1:]
    for number, row in enumerate(rows):
        if len(row) <= columns.last:
            raise ValueError(
                f"row {number + 1} has {len(row)} cells, fewer than the {columns.last + 1} of the "
                "first line"
            )
    if not rows:
        raise ValueError("it has no rows")
    time = _numbers(rows, columns.others.get("time"))
    person = np.zeros(len(rows), dtype=np.int64)
    if "person" in columns.others:
        texts = [row[columns.others["person"]].strip() for row in rows]
        person = np.unique(texts, return_inverse=True)[1]
    if "frame" in columns.others:
        frame, num_frames = frames_of_numbers(_numbers(rows, columns.others["frame"]))
    elif "time" in columns.others and (person.any() or columns.is_long):
        frame = np.unique(time, return_inverse=True)[1]
        num_frames = int(frame.max()) + 1
    elif columns.is_long:
        raise ValueError("it has a row for each joint, but no column of frames")
    else:
        frame, num_frames = np.arange(len(rows)), len(rows)
    names = list(columns.joints)
    places = [[axes.get(axis) for axis in range(4)] for axes in columns.joints.values()]
    values = np.array([[_numbers(rows, p) for p in axes] for axes in places]).transpose(2, 0, 1)
    if columns.is_long:
        keys = [joint_key(row[columns.others["joint"]]) for row in rows]
        names = list(dict.fromkeys(keys))
        place = {name: number for number, name in enumerate(names)}
        values, frame, person = _widen(values[:, 0], [place[k] for k in keys], frame, person)
    return Joints(names, values, frame, num_frames, person, rate_of_times(time))


def _widen(
    values: np.ndarray, joint: list[int], frame: np.ndarray, person: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One row per frame and person, of one row per joint."""
    whole, row = np.unique(np.stack([frame, person]), axis=1, return_inverse=True)
    wide = np.full((whole.shape[1], max(joint) + 1, 4), np.nan)
    wide[row.reshape(-1), joint] = values
    return wide, whole[0], whole[1]


def _numbers(rows: list[list[str]], column: int | None) -> np.ndarray:
    """A column as numbers; an empty cell is NaN, as is all of a column that is not there."""
    if column is None:
        return np.full(len(rows), np.nan)
    cells = [row[column] for row in rows]
    try:
        return np.array([float(cell) for cell in cells])
    except ValueError:
        pass  # perhaps only because some are empty
    try:
        return np.array([float(cell) if cell.strip() else np.nan for cell in cells])
    except ValueError as error:
        raise ValueError(f"column {column + 1} has a cell that is no number ({error})") from error


def read_rows(source: Source) -> list[list[str]]:
    """The cells of all lines that are not blank.

    Raises:
        ValueError: If the text is too long or has a cell of over 100,000 characters.
    """
    text = source.text
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it has {len(text)} characters, more than {MAX_CHARACTERS}; split it")
    delimiter = _delimiter(text.lstrip().split("\n", 1)[0])
    lines = text.splitlines()
    if 150 * len(lines) + 60 * text.count(delimiter) > MAX_PARSED:
        raise ValueError(f"its {len(lines)} lines have too many cells; split it")
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    except csv.Error as error:
        raise ValueError(f"it is no whole table ({error})") from error
    return [row for row in rows if row and (row[0].strip() or any(map(str.strip, row)))]


def _delimiter(line: str) -> str:
    return max(",;\t ", key=line.count)
