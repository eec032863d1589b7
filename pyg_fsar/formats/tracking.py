"""Following people from frame to frame, for files that do not tell who is who."""

from __future__ import annotations

import numpy as np

__all__ = ["order_by_motion", "track_people"]


def track_people(joints: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Number of the person that each skeleton is of, or -1 for ghosts."""
    person = np.zeros(len(frame), dtype=np.int64)
    order = np.argsort(frame, kind="stable")
    start = np.searchsorted(frame[order], frame[order])
    person[order] = np.arange(len(frame)) - start
    return person


def order_by_motion(joints: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Numbers of the people, those that move most first."""
    numbers = np.unique(person)
    motion = [float(joints[person == n].var(axis=0).sum()) for n in numbers]
    return numbers[np.argsort(motion)[::-1]]
