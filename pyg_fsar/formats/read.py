"""Reading a clip from a file of any known format."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from pyg_fsar.data import SkeletonSequence, order_by_motion, track_people
from pyg_fsar.formats.base import Format, Recording
from pyg_fsar.formats.registry import FORMATS
from pyg_fsar.formats.source import Source
from pyg_fsar.skeleton import Skeleton

__all__ = ["read_clip", "recognise"]

logger = logging.getLogger(__name__)

# Metres or picture heights: what is farther away is no place of a joint but a damaged number, and
# would overflow when squared.
MAX_COORDINATE = 1e6
MAX_VALUES = 2**27  # of the returned clips together: half a GiB
MAX_MESSAGE = 250

# What parsers raise when a file has another structure than they expect.
PARSER_ERRORS = (
    *(ValueError, KeyError, IndexError, TypeError, AttributeError),
    *(OverflowError, RecursionError, ZeroDivisionError),
)


def recognise(path: str | Path) -> str:
    """Name of the format of a file or folder, judged by its content.

    Args:
        path: A file, or a folder that holds one file per frame.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If no format fits, or the file is damaged.
    """
    return _recognise(Source(path))


@overload
def read_clip(
    path: str | Path,
    format: str | None = ...,
    fps: float | None = ...,
    people: int = ...,
    retrack: bool = ...,
    **options: Any,
) -> SkeletonSequence: ...
@overload
def read_clip(
    path: str | Path,
    format: str | None = ...,
    fps: float | None = ...,
    *,
    people: Literal["all"],
    retrack: bool = ...,
    **options: Any,
) -> list[SkeletonSequence]: ...
def read_clip(
    path: str | Path,
    format: str | None = None,
    fps: float | None = None,
    people: int | Literal["all"] = 1,
    retrack: bool = False,
    **options: Any,
) -> SkeletonSequence | list[SkeletonSequence]:
    r"""Read a clip from a file, or from a folder that holds one file per frame.

    The clip has the attributes ``name`` (that of the file), ``format`` (which was taken),
    ``joint_names``, and ``fps`` if the frame rate is known. Its channels are ``(x, y, z)``, with a
    fourth, the score, if the file has one, or ``(x, y, score)`` for joints found in pictures. 3D
    coordinates are metres, x to the right of a person who faces the camera, y up, z away from the
    camera; 2D ones count from the middle of the picture, x to the right and y up, in units of the
    picture's height.

    Args:
        path: The file or folder.
        format: Name in :data:`FORMATS`; by default recognised by content.
        fps: Frames per second, in place of what the file tells.
        people: How many to keep, those that move most first, or ``"all"`` for a list of clips, one
            of each person. Fewer are kept if there are fewer.
        retrack: Tell people apart anew by where they are (see
            :func:`~pyg_fsar.data.track_people`), which mends identities that were swapped, even
            if the file keeps people apart. Files that do not are always treated so.
        **options: Options of the format, such as ``size=(width, height)`` of the picture.

    Returns:
        A clip with ``people`` bodies, or a list of clips with one. All have as many frames as the
        file; where a person is not seen, all joints are zero.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ImportError: If the format needs a library that is not installed.
        ValueError: If no format fits, the file is damaged or nobody is in it, or if an option is
            unknown or out of range.
    """
    _check_arguments(format, fps, people)
    source = Source(path)
    name = format if format is not None else _recognise(source)
    _check_options(name, FORMATS[name], options)
    logger.info("%s is read as '%s'", path, name)
    try:
        with np.errstate(all="ignore"):  # what overflows is infinite, and refused as that
            recording = FORMATS[name].read(source, **options)
            _check_recording(recording)
            bodies = _bodies(recording, people, retrack)
    except PARSER_ERRORS as error:
        raise ValueError(_message(source, f"cannot be read as '{name}'", error)) from error
    layout = Skeleton.get(recording.skeleton)
    rate = fps if fps is not None else recording.fps
    attributes: dict[str, Any] = {
        "name": source.path.name if source.is_folder else source.path.stem,
        "format": name,
        "joint_names": layout.joints,
        **({} if rate is None else {"fps": float(rate)}),
    }
    groups = bodies[:, None] if people == "all" else bodies[None]
    clips = [SkeletonSequence.from_bodies(g, skeleton=layout, **attributes) for g in groups]
    return clips if people == "all" else clips[0]


def _recognise(source: Source) -> str:
    fault: BaseException | None = None
    for name, form in FORMATS.items():
        try:
            if form.matches(source):
                return name
        except PARSER_ERRORS as error:  # damaged for this format, but it may be of another
            fault = fault or error
    if fault is not None:
        raise ValueError(_message(source, "is damaged", fault)) from fault
    raise ValueError(
        f"{_short(source.path)} is of no known format; known are {', '.join(FORMATS)}. If it is "
        "one of them, name it by format=... to see what is wrong"
    )


def _check_arguments(format: str | None, fps: float | None, people: int | str) -> None:
    if format is not None and format not in FORMATS:
        raise ValueError(f"unknown format '{format}'; known are {', '.join(FORMATS)}")
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps must be a positive number, got {fps}")
    if people != "all" and not (isinstance(people, int) and people >= 1):
        raise ValueError(f"people must be a number from 1 or 'all', got {people!r}")


def _check_options(name: str, form: Format, options: dict[str, Any]) -> None:
    for option in options:
        if option not in form.options:
            known = ", ".join(form.options) or "none"
            raise ValueError(f"format '{name}' has no option '{option}'; it has {known}")


def _check_recording(recording: Recording) -> None:
    """Refuse what cannot be a clip, and set joints that are missing to zero."""
    layout = Skeleton.get(recording.skeleton)
    recording.joints = joints = np.array(recording.joints, dtype=np.float32)
    if not len(joints) or not recording.num_frames:
        raise ValueError("nobody is seen in it")
    layout.check_joints(joints.shape[1], "it")
    joints[np.isnan(joints).any(axis=2)] = 0
    farthest = float(np.abs(joints).max())
    if not joints.any():
        raise ValueError("all joints in it are missing")
    if farthest > MAX_COORDINATE:
        raise ValueError(f"a coordinate is {farthest:g}, which is no place of a joint")


def _bodies(recording: Recording, people: int | str, retrack: bool) -> np.ndarray:
    """The people of a recording, those that move most first, ``[M, T, V, C]``."""
    seen = recording.joints.any(axis=(1, 2))
    joints, frame = recording.joints[seen], np.asarray(recording.frame)[seen]
    dims = Skeleton.get(recording.skeleton).dims
    if recording.person is None or retrack:
        person = track_people(joints[..., :dims], frame)
        seen = person >= 0
        joints, frame, person = joints[seen], frame[seen], person[seen]
    else:
        person = np.asarray(recording.person)[seen]
    order = order_by_motion(joints[..., :dims], person)
    order = order if people == "all" else order[: int(people)]
    shape = (len(order), recording.num_frames, *joints.shape[1:])
    if math.prod(shape) > MAX_VALUES:
        raise ValueError(f"{shape[0]} people in {shape[1]} frames are too many; give people=1")
    bodies = np.zeros(shape, dtype=np.float32)
    for number, who in enumerate(order):
        bodies[number, frame[person == who]] = joints[person == who]
    return bodies


def _message(source: Source, what: str, error: BaseException) -> str:
    text = str(error)
    if type(error) is not ValueError:  # what a parser met where something else was expected
        text = (
            f"its content is not that of such files ({error!r}); it is damaged or of another kind"
        )
    return f"{_short(source.path)} {what}: {_short(text, MAX_MESSAGE)}"


def _short(text: object, length: int = 120) -> str:
    """A text with its middle left out if it is long, as a path or a value in a file may be."""
    text = str(text)
    half = length // 2
    return text if len(text) <= length else f"{text[:half]}...{text[-half:]}"
