"""The door of all datasets: what a clip must be like to be taken into a store."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pyg_fsar.data import SkeletonSequence, as_numbers
from pyg_fsar.data.texts import shorten
from pyg_fsar.datasets.storage import MAX_LABEL, RawClip
from pyg_fsar.layouts import usual_layout
from pyg_fsar.skeleton import Skeleton

__all__ = ["as_label", "check_clip", "check_metadata", "name_classes"]

# Names and texts lie in the index as wide as the longest of them.
MAX_TEXT = 1_000
# What a clip or PyG's data has itself.
RESERVED = {"name", "num_bodies", "skeleton", "x", "y"} | set(dir(SkeletonSequence()))
# Metres stay below, pixels do not.
LARGE = 10.0


def as_label(value: Any, what: str) -> int:
    """A class label as an integer.

    Args:
        value: The label, a whole number of any type.
        what: What it belongs to, for the message.

    Raises:
        ValueError: If it is no whole number, negative, or too large to be a label.
    """
    try:
        label = operator.index(value)
    except TypeError:
        number = _as_float(value)
        if not number.is_integer():
            raise ValueError(
                f"{what} has label {shorten(value, 60)}, but labels are whole numbers from 0; "
                "correct the label, or leave the clip out"
            ) from None
        label = int(number)
    if not 0 <= label <= MAX_LABEL:
        raise ValueError(
            f"{what} has label {shorten(label, 60)}, but labels are 0..{MAX_LABEL}; correct the "
            "label, or number the classes from 0 (numpy.unique(labels, return_inverse=True))"
        )
    return label


def _as_float(value: Any) -> float:
    """A number as it is; NaN for a masked one, a text or anything else."""
    if isinstance(value, str) or value is np.ma.masked:
        return np.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def name_classes(names: Iterable[str] | Mapping[int, str]) -> list[str]:
    """Names of classes as a list indexed by label.

    Args:
        names: The names in order of their labels, or by label.

    Raises:
        ValueError: If they are no texts, or labels are missing between 0 and the largest.
    """
    if isinstance(names, Mapping):
        if sorted(names) != list(range(len(names))):
            raise ValueError(
                f"class_names by label must have the keys 0..{len(names) - 1}, got "
                f"{shorten(list(names))}"
            )
        names = [names[label] for label in range(len(names))]
    if isinstance(names, str):
        raise ValueError(f"class_names must be a list of texts, got the text {shorten(names)!r}")
    listed = list(names)
    if wrong := [name for name in listed if not isinstance(name, str)]:
        raise ValueError(f"class_names must be texts, got {shorten(wrong[0])}")
    return [str(name) for name in listed]


def check_metadata(clip: RawClip) -> dict[str, int | float | str]:
    """The metadata of a clip as plain Python values.

    Raises:
        ValueError: If the name of the clip or a text is too long, a key is no attribute name of its
            own, or a value is neither a number of at most 64 bits nor a text.
    """
    where = f"clip '{shorten(clip.name, 80)}'"
    plain: dict[str, int | float | str] = {}
    for key, value in {"name": clip.name, **clip.metadata}.items():
        if key in RESERVED and key in clip.metadata:
            raise ValueError(f"{where}: metadata '{key}' is a name that clips use; choose another")
        if not (isinstance(key, str) and key.isidentifier()) or key.startswith("_"):
            raise ValueError(f"{where}: metadata {shorten(key, 60)!r} is no name for an attribute")
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, str):
            fault = len(value) > MAX_TEXT or value.endswith("\0")
        else:
            fault = not isinstance(value, float) and not (
                isinstance(value, int) and -(2**63) <= value < 2**63
            )
        if fault:
            raise ValueError(
                f"{where}: metadata '{key}' must be a number of at most 64 bits or a text of at "
                f"most {MAX_TEXT} characters, got {shorten(repr(value), 80)}"
            )
        plain[key] = value
    del plain["name"]
    return plain


def check_clip(
    clip: RawClip, layout: Skeleton | None = None, num_classes: int | None = None
) -> RawClip:
    """A clip as the store takes it: float32, without empty bodies, its layout named.

    Args:
        clip: The clip.
        layout: Layout that the clip must have; by default the clip's own, or the usual one.
        num_classes: Number of classes, if that is known.

    Raises:
        ValueError: If the clip cannot be used; the message says what to do.
    """
    metadata = check_metadata(clip)
    where = f"clip '{shorten(clip.name, 80)}'"
    with np.errstate(over="ignore"):  # what float32 cannot hold is reported as infinite
        bodies = np.array(as_numbers(clip.bodies, where), dtype=np.float32)
    if layout is None and clip.skeleton is not None:
        layout = Skeleton.get(clip.skeleton)
    if layout is None and bodies.ndim == 4 and bodies.size:
        if not np.isfinite(bodies).all():  # which says more than that no layout fits
            raise ValueError(f"{where} has NaN or infinite values; set missing joints to zero")
        layout = usual_layout(bodies.shape[2], bodies.shape[3], clip.scored, where)
        _refuse_pixels(bodies, layout, where)
    SkeletonSequence.from_bodies(bodies, skeleton=layout or "ntu25", name=shorten(clip.name, 80))
    label = as_label(clip.label, where)
    if num_classes and label >= num_classes:
        raise ValueError(
            f"{where} has label {label}, but labels are 0..{num_classes - 1}; correct the label, "
            "or leave the clip out"
        )
    present = bodies.any(axis=(1, 2, 3))
    if not present.any():
        raise ValueError(f"{where} is all zero, there is no body; leave it out")
    return replace(
        clip,
        bodies=bodies[present],
        label=label,
        metadata=metadata,
        skeleton=None if layout is None else layout.name,
    )


def _refuse_pixels(bodies: np.ndarray, layout: Skeleton, where: str) -> None:
    """Refuse pixels with a score where the number of joints and channels means a 3D layout."""
    if bodies.shape[3] != 3 or layout.dims != 3:
        return
    score, place = bodies[..., 2], np.abs(bodies[..., :2])
    if (score >= 0).all() and (score <= 1).all() and place.max(initial=0) > LARGE:
        raise ValueError(
            f"{where} looks like pixels with a score, not like three coordinates of "
            f"'{layout.name}'; say which layout it is: skeleton=..."
        )
