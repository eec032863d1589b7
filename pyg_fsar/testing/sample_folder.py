"""Folders of clips in any format, to try the command line and readers with."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pyg_fsar.skeleton import Skeleton
from pyg_fsar.testing.motion_samples import MOTION_SAMPLES
from pyg_fsar.testing.samples import SAMPLES, sample_bodies

__all__ = ["write_sample_clip", "write_sample_folder"]

NOISE = 0.003  # by which takes of an action differ, in the units of the clip


def write_sample_clip(
    path: str | Path,
    sample: str,
    action: str,
    take: int = 0,
    num_bodies: int = 1,
    num_frames: int = 12,
) -> Path:
    """Write a clip of people who do an action.

    Args:
        path: The file, or the folder for formats of one file per frame; its parent is made.
        sample: Name in :data:`~pyg_fsar.testing.SAMPLES` or
            :data:`~pyg_fsar.testing.motion_samples.MOTION_SAMPLES`.
        action: Any name; clips of the same one are alike.
        take: Clips of the same action with other numbers differ a little.
        num_bodies: Number of people.
        num_frames: Number of frames.

    Raises:
        ValueError: If there is no such sample.
    """
    samples = {**SAMPLES, **MOTION_SAMPLES}
    if sample not in samples:
        raise ValueError(f"unknown sample '{sample}'; known are {', '.join(samples)}")
    form = samples[sample]
    bodies = sample_bodies(form, num_bodies, num_frames, seed=zlib.crc32(action.encode()))
    dims = Skeleton.get(form.skeleton).dims
    bodies[..., :dims] += np.random.default_rng(take).normal(
        scale=NOISE, size=bodies[..., :dims].shape
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    form.write(path, bodies)
    return path


def write_sample_folder(
    root: str | Path,
    sample: str,
    actions: Iterable[str] = ("bow", "kick", "wave"),
    clips: int = 2,
    num_bodies: int = 1,
    num_frames: int = 12,
) -> Path:
    """Write a folder of clips with one subfolder per action.

    Args:
        root: The folder, made if it is missing.
        sample: As for :func:`write_sample_clip`.
        actions: Names of the actions.
        clips: Clips of each action, the takes from 0.
        num_bodies: Number of people in each.
        num_frames: Number of frames of each.

    Raises:
        ValueError: If there is no such sample.
    """
    samples = {**SAMPLES, **MOTION_SAMPLES}
    ending = Path(samples[sample].name).suffix if sample in samples else ""
    for action in actions:
        for take in range(clips):
            path = Path(root, action, f"{take + 1:02d}{ending}")
            write_sample_clip(path, sample, action, take, num_bodies, num_frames)
    return Path(root)
