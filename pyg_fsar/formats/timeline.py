"""Frame numbers and time stamps as they stand in files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyg_fsar.formats.source import natural_key
from pyg_fsar.formats.values import whole_numbers

__all__ = ["frames_of_names", "frames_of_numbers", "rate_of_times"]

MAX_FRAMES = 10**6  # of one clip: nine hours
# The median step between frames tells the unit of time stamps: seconds if below one, milliseconds
# if below ten thousand, else ticks of a ten millionth of a second or nanoseconds.
UNITS = ((1.0, 1.0), (1e4, 1e3), (5e6, 1e7), (np.inf, 1e9))


def frames_of_numbers(values: Sequence[float] | np.ndarray) -> tuple[np.ndarray, int]:
    """Frames counted from 0, and how many there are, of frame numbers that may leave out some.

    Numbers that are all multiples of a step, as where only every fifth picture was looked at, are
    divided by it.

    Shapes:
        - **values, output:** ``[D]``

    Raises:
        ValueError: If a number is not whole, or the frames are too many for a clip.
    """
    numbers = whole_numbers(values, "frame numbers")
    if not len(numbers):
        raise ValueError("it has no frames")
    numbers = numbers - numbers.min()
    step = int(np.gcd.reduce(numbers)) or 1
    frames = numbers // step
    num_frames = int(frames.max()) + 1
    if num_frames > MAX_FRAMES:
        raise ValueError(f"frame numbers span {num_frames} frames, more than {MAX_FRAMES}")
    return frames, num_frames


def frames_of_names(names: Sequence[str]) -> tuple[np.ndarray, int]:
    """Frames of names of pictures: by number if all names are numbers, else in natural order.

    Shapes:
        - **output:** ``[D]``
    """
    stems = [name.rpartition("/")[2].rpartition(".")[0] or name for name in names]
    if all(stem.isascii() and stem.isdigit() and len(stem) < 16 for stem in stems):
        return frames_of_numbers([int(stem) for stem in stems])
    order = {name: place for place, name in enumerate(sorted(set(names), key=natural_key))}
    return np.array([order[name] for name in names]), len(order)


def rate_of_times(times: np.ndarray) -> float | None:
    """Frames per second of rising time stamps, in seconds, ms, ticks of 100 ns, or ns.

    Shapes:
        - **times:** ``[T]``
    """
    steps = np.diff(np.unique(times[np.isfinite(times)]))
    if not len(steps):
        return None
    step = float(np.median(steps))
    unit = next(unit for limit, unit in UNITS if step < limit)
    return unit / step
