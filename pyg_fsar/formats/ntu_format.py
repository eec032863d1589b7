"""The `.skeleton` text format of NTU RGB+D: reading in bulk, and writing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from torch import Tensor

from pyg_fsar.data.texts import shorten

__all__ = ["parse_ntu_skeleton", "read_ntu_skeleton", "write_ntu_skeleton"]

NUM_JOINTS = 25
ID_WIDTH = 24  # characters at the start of a body's line in which the end of its id is looked for
BODY_LINES = 2 + NUM_JOINTS
BODY_FIELDS = 10  # bodyID, clipedEdges, four hand states, isRestricted, leanX, leanY, trackingState
JOINT_FIELDS = 12  # x y z, depthX depthY, colorX colorY, orientationW X Y Z, trackingState

# The dataset's FAQ: the spread of a person over y is large against that over x. A body is a ghost
# if its width exceeds this fraction of its height in more than this fraction of its frames.
GHOST_WIDTH = 0.8
GHOST_FRAMES = 0.7
# The farthest, in metres, that a person is taken to move while the sensor has lost them.
STITCH_DISTANCE = 1.0

# Far beyond any genuine file. Without limits, a small damaged file could ask for endless memory or
# time.
MAX_FRAMES = 100_000
MAX_BODIES = 100  # in a frame; the sensor tells at most 6 apart
MAX_TRACKS = 500

CURE = "download the file again, or delete it"
NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
# Bytes and rows per block: allocating larger temporary arrays would take longer than the work.
BLOCK = 2**17
BLOCK_ROWS = 4000
ROW = 64  # bytes from the start of a row that are looked at in bulk: the bits of an integer
WIDTH = 16  # the most characters of a number read in bulk, sign left out: 15 digits and a point
ONE = np.uint64(1)
LARGEST = float(np.finfo(np.float32).max)
# [n] is 10 ** n, and [n + WIDTH] its negative.
POWERS = np.multiply.outer([1, -1], 10.0 ** np.arange(WIDTH)).ravel()
# LAST[n] keeps the last n of WIDTH bytes.
LAST = (255 * np.tri(WIDTH + 1, WIDTH, -1, np.uint8)[:, ::-1]).view(f"V{WIDTH}").ravel()


class Records(NamedTuple):
    """Where the bodies stand: one entry per body and frame, in file order."""

    frame: np.ndarray
    line: np.ndarray  # of the first joint
    num_frames: int


class Lines:
    """Lines of a file, by number from 0."""

    def __init__(self, raw: bytes, source: str) -> None:
        self.raw = raw
        self.source = source
        self.buffer = np.frombuffer(raw.ljust(ROW, b"\0"), np.uint8)
        self.num_blanks = 0
        packed = []
        for block in range(0, len(self.buffer), BLOCK):
            text = self.buffer[block : block + BLOCK]
            packed.append(np.packbits(text == ord("\n")))
            self.num_blanks += int(np.count_nonzero(text == ord(" ")))
        # Most groups of eight characters have no line end and are passed over at once.
        eights = np.concatenate(packed)
        some = np.flatnonzero(eights != 0)
        place = np.flatnonzero(np.unpackbits(eights[some]).view(bool))
        end = 8 * some[place >> 3] + (place & 7)
        if not raw.endswith(b"\n"):
            end = np.append(end, len(raw))
        self.start = np.append(0, end + 1)

    def __len__(self) -> int:
        return len(self.start) - 1

    def __getitem__(self, line: int) -> bytes:
        return self.raw[self.start[line] : self.start[line + 1]]

    def fail(self, line: int, what: str) -> NoReturn:
        raise ValueError(f"{self.source}: line {line + 1}: {what}; {CURE}")

    def count(self, line: int, name: str, frame: int | None = None) -> int:
        """The number that stands alone in a line."""
        where = name if frame is None else f"{name} in frame {frame}"
        if line >= len(self):
            self.fail(line, f"the file ends before {where}")
        text = self[line].strip()
        if not text.isdigit() or len(text) > 9:
            self.fail(line, f"{where} is {_quote(text)}, not a count")
        return int(text)

    def alike(self, lines: np.ndarray) -> np.ndarray:
        """Which rows ``[N, K]`` of numbers of short lines have the same text as the first row."""
        start = self.start[lines]
        size = self.start[lines + 1] - start
        head = _windows(self.buffer, np.minimum(start, len(self.buffer) - 4), 4)
        same = head.view(np.uint32).reshape(lines.shape)
        return ((same == same[0]) & (size == size[0]) & (size <= 4)).all(axis=1)


def read_ntu_skeleton(path: str | PathLike[str], max_bodies: int = 2) -> np.ndarray:
    """Read the bodies of an NTU RGB+D `.skeleton` file.

    Bodies come and go: a track that begins after another one has ended, or in its last frame,
    within a metre of where that was lost, is taken as the same person under a new tracking id.
    Where there are several bodies, sensor ghosts (chairs, tables) are dropped by the rule of the
    dataset's FAQ, that the spread of a person over y is large against that over x, unless nothing
    would remain. The
    remaining bodies are ordered by motion, the variance over time of x, y and z summed over the
    joints, so that the main actor comes first.

    Args:
        path: The file.
        max_bodies: The most bodies to return, those of the largest motion.

    Shapes:
        - **output:** float32 ``[M, T, 25, 3]``, metres in the camera's frame; a body is zero in the
          frames where it is absent

    Raises:
        ValueError: If the file is truncated, has another number of joints than 25, a coordinate
            that is not a finite number, no body at all, or anything after its last frame. The
            message names the file and the line.
    """
    return parse_ntu_skeleton(Path(path).read_bytes(), str(path), max_bodies)


def parse_ntu_skeleton(raw: bytes, source: str, max_bodies: int = 2) -> np.ndarray:
    """The same as :func:`read_ntu_skeleton` for the content of a file.

    Args:
        raw: Content of the file.
        source: Name of the file, for messages.
        max_bodies: The most bodies to return.

    Shapes:
        - **output:** float32 ``[M, T, 25, 3]``

    Raises:
        ValueError: As :func:`read_ntu_skeleton`.
    """
    if max_bodies < 1:
        raise ValueError(f"max_bodies must be at least 1, got {max_bodies}")
    if not raw or raw.isspace():
        raise ValueError(f"{source}: the file is empty; {CURE}")
    if b"\n" not in raw:
        raw = raw.replace(b"\r", b"\n")  # line ends of old Macintosh systems
    lines = Lines(raw, source)
    records = _walk(lines)
    if not len(records.line):
        raise ValueError(
            f"{source}: no body in any of its {records.num_frames} frames; leave the file out (the "
            "authors list such files as samples with missing skeletons)"
        )
    joints = _read_joints(lines, records)
    bodies = [(records.frame[body], joints[body]) for body in _stitch(lines, records, joints)]
    if not bodies:
        raise ValueError(f"{source}: every joint of every body is zero; {CURE}")
    if len(bodies) > 1:
        bodies = [body for body in bodies if not _is_ghost(body[1])] or bodies
        bodies.sort(key=lambda body: float(body[1].var(axis=0).sum()), reverse=True)
    clip = np.zeros((min(len(bodies), max_bodies), records.num_frames, NUM_JOINTS, 3), np.float32)
    for number, (frames, body) in enumerate(bodies[:max_bodies]):
        clip[number, frames] = body
    return clip


def _walk(lines: Lines) -> Records:
    """Follow the counts in the file to the lines where the joints stand."""
    num_frames = lines.count(0, "the number of frames")
    if num_frames > MAX_FRAMES:
        lines.fail(0, f"the number of frames is {num_frames}, more than {MAX_FRAMES}")
    frames, firsts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    line, frame = 1, 0
    while frame < num_frames:
        num_bodies = lines.count(line, "the number of bodies", frame)
        if num_bodies > MAX_BODIES:
            lines.fail(line, f"the number of bodies in frame {frame} is {num_bodies}")
        for body in range(num_bodies):
            place = line + 2 + body * BODY_LINES
            num_joints = lines.count(place, "the number of joints", frame)
            if num_joints != NUM_JOINTS:
                lines.fail(place, f"a body in frame {frame} has {num_joints} joints, not 25")
        num_lines = 1 + num_bodies * BODY_LINES
        if line + num_lines > len(lines):
            lines.fail(len(lines), f"the file ends within frame {frame} of {num_frames}")
        first = line + 3 + np.arange(num_bodies) * BODY_LINES
        # The frames that follow mostly have equally many bodies: take all of these together.
        ahead = np.arange(min(num_frames - frame, (len(lines) - line) // num_lines)) * num_lines
        counts = np.append(line, first - 1) + ahead[:, None]
        alike = np.append(lines.alike(counts), False)
        run = max(1, int(alike.argmin()))
        frames.append(np.repeat(np.arange(frame, frame + run), num_bodies))
        firsts.append((first + ahead[:run, None]).ravel())
        line, frame = line + run * num_lines, frame + run
    if lines.raw[lines.start[line] :].strip():
        lines.fail(line, f"there is text after the last of {num_frames} frames")
    return Records(np.concatenate(frames), np.concatenate(firsts), num_frames)


def _read_joints(lines: Lines, records: Records) -> np.ndarray:
    """Read the coordinates of all records, ``[len(records.line), 25, 3]``."""
    rows = (records.line[:, None] + np.arange(NUM_JOINTS)).ravel()
    starts = lines.start[rows]
    values = np.empty((len(rows), 3), np.float32)
    regular = np.empty(len(rows), bool)
    for first in range(0, len(rows), BLOCK_ROWS):
        block = slice(first, first + BLOCK_ROWS)
        values[block], regular[block] = _parse_rows(lines.buffer, starts[block])
    blanks = len(rows) * (JOINT_FIELDS - 1) + len(records.line) * (BODY_FIELDS - 1)
    if lines.num_blanks != blanks:
        regular[:] = False  # some line has too many or too few numbers, or tabs between them
        for line, frame in zip(records.line - 2, records.frame, strict=True):
            fields = len(lines[line].split())
            if fields != BODY_FIELDS:
                lines.fail(line, f"a body in frame {frame} has {fields} fields, not {BODY_FIELDS}")
    for row in np.flatnonzero(~regular).tolist():
        numbers = lines[rows[row]].split()
        fault = _fault(numbers)
        if fault:
            frame, joint = records.frame[row // NUM_JOINTS], row % NUM_JOINTS
            lines.fail(rows[row], f"joint {joint} in frame {frame} {fault}")
        values[row] = [float(number) for number in numbers[:3]]
    return values.reshape(-1, NUM_JOINTS, 3)


def _fault(numbers: list[bytes]) -> str | None:
    """What is wrong with the numbers of a joint."""
    if len(numbers) != JOINT_FIELDS:
        return f"has {len(numbers)} numbers, not {JOINT_FIELDS}"
    for axis, number in zip("xyz", numbers, strict=False):
        if not NUMBER.fullmatch(number) or abs(float(number)) > LARGEST:
            return f"has {axis} = {_quote(number)}, which is no finite number"
    return None


def _quote(text: bytes) -> str:
    return repr(shorten(text.decode(errors="replace"), 40))


def _parse_rows(buffer: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read the first three numbers of all rows at once, as exactly as :class:`float` does.

    Args:
        buffer: The text, at least :obj:`ROW` bytes.
        start: Where each row starts in it.

    Returns:
        The numbers ``[R, 3]``, and which rows are regular: three plain decimals like ``-12.345``
        with single blanks after them. The others (exponents, say) have to be read singly.
    """
    origin = np.minimum(start, len(buffer) - ROW)
    text = _windows(buffer, origin, ROW)
    digits = text - np.uint8(ord("0"))
    is_digit = digits < 10
    # Characters of one kind in a row are the bits of an integer, and a place in a row is one bit.
    digit = _as_bits(is_digit)
    blank, point, minus = (_as_bits(text == ord(kind)) for kind in " .-")
    ends, points = _lowest_bits(blank), _lowest_bits(point)
    begins = np.ones_like(ends)
    begins[1:] = ends[:2] << ONE
    negative = (begins & minus) != 0
    # Up to the third blank there is nothing but digits, three points, and signs in front.
    odd = ~(digit | blank | point | minus)
    odd |= minus & ~(begins[0] | begins[1] | begins[2])
    odd |= point & ~(points[0] | points[1] | points[2])
    regular = (ends[2] != 0) & (odd & (ends[2] - ONE) == 0) & (origin == start)
    end, point_at = _place(ends), _place(points)
    begin = negative.astype(np.int8)
    begin[1:] += end[:2] + np.int8(1)
    length = end - begin
    regular &= ((begin <= point_at) & (point_at < end)).all(axis=0)
    regular &= ((length > 1) & (length < WIDTH)).all(axis=0)

    # The digits as one integer, in which the point counts as a zero, then that zero taken out.
    # Integers below 2 ** 53 and powers of ten are exact in float64, so only the division rounds.
    padded = np.zeros((len(start) + 1, ROW), np.uint8)  # so that enough precedes every number
    np.multiply(digits, is_digit, out=padded[1:])
    row_end = np.arange(ROW, padded.size, ROW) + end
    numbers = _windows(padded.ravel(), row_end.ravel() - WIDTH, WIDTH)
    numbers &= LAST.take(length, mode="clip").view(np.uint8).reshape(-1, WIDTH)
    value = _join_digits(numbers).reshape(3, -1)
    scale = POWERS.take(end - point_at - 1 + negative * np.int8(WIDTH), mode="clip")
    value -= np.trunc(value / (10 * scale)) * (9 * scale)
    value /= scale
    return value.T, regular


def _join_digits(digits: np.ndarray) -> np.ndarray:
    """Numbers of 16 decimal digits each, ``[N, 16]`` bytes (overwritten), as float64 ``[N]``."""
    # Two neighbours a, b are the halves of the little-endian integer a + (b << half), and the
    # upper half of its product with 1 + (base << half) is a * base + b.
    for base, half in ((10, 8), (10**2, 16), (10**4, 32)):
        digits = digits.view(f"<u{half // 4}")
        digits *= digits.dtype.type(1 + (base << half))
        digits >>= digits.dtype.type(half)
    return digits[:, 0] * 1e8 + digits[:, 1]


def _windows(buffer: np.ndarray, start: np.ndarray, width: int) -> np.ndarray:
    """The bytes ``buffer[s : s + width]`` for every ``s`` in ``start``, ``[len(start), width]``."""
    windows = np.ndarray(len(buffer) - width + 1, f"V{width}", buffer, strides=1)
    return windows[start].view(np.uint8).reshape(-1, width)


def _as_bits(mask: np.ndarray) -> np.ndarray:
    """Rows of 64 booleans as integers, column 0 being the lowest bit."""
    return np.packbits(mask, bitorder="little").view("<u8").astype(np.uint64, copy=False)


def _lowest_bits(bits: np.ndarray) -> np.ndarray:
    """The lowest three of the bits that are set, each by itself, ``[3, R]``."""
    lowest = np.empty((3, len(bits)), np.uint64)
    for number in range(3):
        np.bitwise_and(bits, -bits, out=lowest[number])
        bits = bits ^ lowest[number]
    return lowest


def _place(bit: np.ndarray) -> np.ndarray:
    """Number of the only bit that is set, or -1."""
    return np.frexp(bit.astype(np.float64))[1].astype(np.int8) - np.int8(1)


def _tracks(lines: Lines, records: Records) -> list[list[int]]:
    """Record numbers of each tracking id."""
    starts = lines.start[records.line - 2]
    # An id stays text, since two 64-bit ids can be one float64.
    first = lines.raw[starts[0] : starts[0] + ID_WIDTH].partition(b" ")[0] + b" "
    heads = _windows(lines.buffer, starts, len(first))
    if (heads == np.frombuffer(first, np.uint8)).all() and (np.diff(records.frame) > 0).all():
        return [list(range(len(starts)))]
    frames = records.frame.tolist()
    tracks: dict[bytes, list[int]] = {}
    for record, start in enumerate(starts.tolist()):
        name = b"".join(lines.raw[start : start + ID_WIDTH].split(None, 1)[:1])
        while name in tracks and frames[tracks[name][-1]] == frames[record]:
            name += b"'"  # two bodies of a frame are two bodies, whatever their ids
        tracks.setdefault(name, []).append(record)
    return list(tracks.values())


def _stitch(lines: Lines, records: Records, joints: np.ndarray) -> list[list[int]]:
    """Record numbers of each body, tracks of one person joined."""
    tracks = _tracks(lines, records)
    if len(tracks) > MAX_TRACKS:
        raise ValueError(f"{lines.source}: there are {len(tracks)} tracking ids; {CURE}")
    zero = {n for n in np.flatnonzero(joints[:, 0, 2] == 0).tolist() if not joints[n].any()}
    bodies: list[list[int]] = []
    for track in tracks:
        if zero:
            track = [record for record in track if record not in zero]
        if not track:
            continue
        start, end = records.frame[track[0]], records.frame[track[-1]]
        # While the sensor changes the id of a person, both ids may stand in one frame.
        lost = [
            body
            for body in bodies
            if records.frame[body[-1]] < start
            or (records.frame[body[-1]] == start < end and records.frame[body[0]] < start)
        ]
        distances = [float(np.linalg.norm(joints[b[-1], 0] - joints[track[0], 0])) for b in lost]
        if lost and min(distances) <= STITCH_DISTANCE:
            body = lost[int(np.argmin(distances))]
            last = records.frame[body[-1]]
            body.extend([record for record in track if records.frame[record] > last])
        else:
            bodies.append(track)
    return bodies


def _is_ghost(body: np.ndarray) -> bool:
    """Whether a body ``[T, 25, 3]`` is too wide for a person in most of its frames."""
    width, height = (np.ptp(body[..., axis], axis=1) for axis in (0, 1))
    wide: np.ndarray = width > GHOST_WIDTH * height
    return bool(wide.mean() > GHOST_FRAMES)


def write_ntu_skeleton(
    path: str | PathLike[str],
    bodies: np.ndarray | Tensor | Sequence[np.ndarray],
    body_ids: Sequence[int] | None = None,
) -> None:
    """Write bodies as an NTU RGB+D `.skeleton` file, as the genuine ones are written.

    What a file holds beyond coordinates (depth and colour pixels, orientations) is filled in with
    numbers of the usual kind that mean nothing.

    Args:
        path: The file to write.
        bodies: The bodies; one is absent from the frames in which all its joints are zero.
        body_ids: Tracking id of each body.

    Shapes:
        - **bodies:** ``[M, T, 25, 3]``

    Raises:
        ValueError: If the bodies have another shape.
    """
    clip = np.asarray(bodies, dtype=np.float32)
    if clip.ndim != 4 or clip.shape[2:] != (NUM_JOINTS, 3):
        raise ValueError(f"bodies must be [M, T, 25, 3], got {clip.shape}")
    ids = list(body_ids or range(72057594037931101, 72057594037931101 + len(clip)))
    present = np.asarray(clip.any(axis=(2, 3)))
    depth = 256 + 366 * clip[..., :2] / np.maximum(clip[..., 2:], 0.5)
    pixels = np.concatenate([depth, depth * 3.75 + 200], axis=-1)
    turn = np.stack([np.cos(clip[..., 0]), np.sin(clip[..., 0])], axis=-1)
    numbers = np.concatenate([clip, pixels, turn, turn[..., ::-1] * 0.31], axis=-1)
    out = [str(clip.shape[1])]
    for t in range(clip.shape[1]):
        out.append(str(int(present[:, t].sum())))
        for m in np.flatnonzero(present[:, t]):
            out += [f"{ids[m]} 0 1 1 1 1 0 0.02764709 -0.05745083 2", str(NUM_JOINTS)]
            # The text of a float32 has the fewest digits that bring it back unchanged.
            out += [" ".join(map(str, row)) + " 2" for row in numbers[m, t]]
    Path(path).write_bytes("".join(line + "\r\n" for line in out).encode())
