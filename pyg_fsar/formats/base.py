"""What a file format is: how its files are recognised, and what reading one gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pyg_fsar.formats.source import Source
from pyg_fsar.skeleton import Skeleton

__all__ = ["Format", "Recording"]


@dataclass
class Recording:
    r"""The skeletons of one file, as they stand in it: one row per person and frame.

    Coordinates are already in the package's convention. 3D: metres, x to the right of a person who
    faces the camera, y up, z away from the camera. 2D: x to the right of the picture and y up, from
    the middle of the picture, in units of the picture's height. A joint that is missing is all
    zero, or has a coordinate that is NaN, which :func:`~pyg_fsar.formats.read_clip` sets to zero. A
    score, if there is one, is the channel after the coordinates.

    Args:
        joints: Skeletons seen, in any order.
        frame: Number of the frame that each was seen in, from 0.
        num_frames: Number of frames, those without people included.
        skeleton: Layout of the joints, or its registered name.
        person: Number of the person that each skeleton is of; None if the file does not tell, and
            people then have to be followed from frame to frame.
        fps: Frames per second, if the file tells.

    Shapes:
        - **joints:** ``[D, V, C]``
        - **frame, person:** ``[D]``

    Example:
        >>> recording = Recording.from_bodies(np.random.randn(2, 20, 25, 3), "ntu25", fps=30.0)
        >>> recording.joints.shape, recording.num_frames
        ((40, 25, 3), 20)
    """

    joints: np.ndarray
    frame: np.ndarray
    num_frames: int
    skeleton: str | Skeleton
    person: np.ndarray | None = None
    fps: float | None = None

    @classmethod
    def from_bodies(
        cls, bodies: np.ndarray, skeleton: str | Skeleton, fps: float | None = None
    ) -> Recording:
        """A recording of people that the file keeps apart, for instance of a single one.

        Args:
            bodies: The people; one is absent from the frames in which all channels are zero.
            skeleton: Layout of the joints, or its registered name.
            fps: Frames per second, if the file tells.

        Shapes:
            - **bodies:** ``[M, T, V, C]``
        """
        person, frame = np.nonzero(np.asarray(bodies).any(axis=(2, 3)))
        return cls(bodies[person, frame], frame, bodies.shape[1], skeleton, person, fps)


@dataclass(frozen=True)
class Format:
    """One file format.

    Args:
        matches: Whether a file or folder is of this format, judged by its content. It is asked for
            files of any kind, and looks at as little as is needed.
        read: Reads it: ``read(source, **options) -> Recording``. Its keyword-only parameters are
            the options of the format. What is wrong with the file is a ValueError that need not
            name the file; other errors of a parser that meets a broken file (KeyError, TypeError,
            IndexError, OverflowError and the like) become one in
            :func:`~pyg_fsar.formats.read_clip`.
        files: What files these are, in a few words.
        layout: Which layouts it comes in.
        units: Units in the clip: ``"metres"``, or ``"image"`` for 2D.
        people: Whether a file may have several people, and whether it tells who is who.
        needs: The extra of this package that has to be installed to read it, if any.

    Example:
        >>> form = FORMATS["bvh"]
        >>> form.people, form.options
        ('one', ('scale', 'up'))
    """

    matches: Callable[[Source], bool]
    read: Callable[..., Recording]
    files: str
    layout: str
    units: str
    people: str = "one"
    needs: str | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options that :attr:`read` takes."""
        parameters = inspect.signature(self.read).parameters.values()
        return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
