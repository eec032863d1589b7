"""Clips of no known class: thresholds of distances, calibrated from the examples alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch_geometric.transforms import Compose

from pyg_fsar.classifier.own_class import Compare, OwnClass
from pyg_fsar.data import EmbeddedClips, SkeletonSequence
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.transforms import RandomJitter, RandomRotate, RandomTemporalCrop, ResampleFrames

__all__ = ["COPIES", "accepted", "check_unknown", "class_thresholds", "named", "perturbed"]

# Constants of the calibration, all of natural logarithms of distances. A prior for the standard
# deviation of the distances of unknown clips, which counts as much as some classes do. The spread
# is that whose false alarms are nearest to 5 % over three data sets; benchmarks/open_set.py chooses
# it, and reports each data set with the choice of the other two.
SPREAD, PRIOR_CLASSES = 0.45, 4
# How much farther an unknown clip is than the class's own examples are from each other, and than
# its perturbed copies are, on generated motions; needed only where there is one class.
APART, APART_FROM_COPIES = 0.5, 2.9
# Examples that stand for unknown clips; more take time and change little.
MOST_STRANGERS = 100
COPIES = 4


def check_unknown(unknown: Any, false_alarms: float) -> None:
    """Refuse what is no label or no fraction.

    Raises:
        TypeError: If the label is neither text nor number.
        ValueError: If it is NaN, or the fraction not between 0 and 1.
    """
    if isinstance(unknown, np.generic):
        unknown = unknown.item()
    if not isinstance(unknown, str | int | float | None):
        raise TypeError(
            f"unknown must be a label, a text or a number, got {type(unknown).__name__}; give one, "
            "such as unknown='none of these'"
        )
    if unknown != unknown:
        raise ValueError("unknown must not be NaN, which equals no label; give another number")
    if not 0 < false_alarms < 1:
        raise ValueError(f"false_alarms must be between 0 and 1, got {false_alarms}")


def accepted(distances: np.ndarray, thresholds: np.ndarray | None) -> np.ndarray:
    """Number of the nearest class within its threshold, -1 where there is none, ``[n]``.

    Shapes:
        - **distances:** ``[n, N]``
        - **thresholds:** ``[N]``; every class is near enough if not given
    """
    if thresholds is None:
        return distances.argmin(axis=1)
    near = distances <= thresholds
    best = np.where(near, distances, np.inf).argmin(axis=1)
    return np.where(near.any(axis=1), best, -1)


def named(numbers: np.ndarray, classes: np.ndarray, unknown: Any) -> np.ndarray:
    """Labels of numbers of classes, -1 being the unknown.

    Texts stay an array of texts and numbers one of numbers. Where the unknown label is of another
    kind than those of the classes, labels are an array of objects.
    """
    if unknown is None:
        return classes[numbers]
    one = np.asarray(unknown)
    if any({classes.dtype.kind, one.dtype.kind} <= set(kinds) for kinds in ("U", "iuf")):
        labels = np.append(classes, one)
    else:
        labels = np.array([*classes.tolist(), one.item()], dtype=object)
    return labels[numbers]


def perturbed(clip: SkeletonSequence) -> Iterator[SkeletonSequence]:
    """Copies of a clip as another recording of it might be: begun later, ended earlier and so of
    another speed, from slightly another side, and with noise.

    They depend on the clip alone, and have its number of frames.
    """
    dims = Skeleton.get(clip.skeleton).dims
    joints = clip.bodies[..., :dims]
    size = (joints - joints.mean(dim=(0, 1), keepdim=True)).square().mean().sqrt()
    change = Compose([
        RandomTemporalCrop(0.8), ResampleFrames(clip.num_frames, "linear"),
        RandomRotate((5, 10, 5) if dims == 3 else 5), RandomJitter(0.05 * float(size)),
    ])  # fmt: skip
    for seed in range(COPIES):
        with torch.random.fork_rng(devices=()):
            # torch.manual_seed takes much longer, for devices that are not used here.
            torch.default_generator.manual_seed(seed)
            copy = change(clip)
        yield copy


def class_thresholds(
    compare: Compare,
    support: EmbeddedClips,
    n_way: int,
    copies: np.ndarray,
    false_alarms: float,
    spread: float = SPREAD,
    own_class: OwnClass | None = None,
) -> np.ndarray:
    r"""Thresholds below which a clip is taken for one of a class, ``[N]``.

    Examples of other classes stand for unknown clips: each is compared with all classes but its
    own. The smallest of its distances, each divided by the scale of the class, is what an unknown
    clip's would be, up to one class more, which is extrapolated from the difference between the two
    smallest. Their logarithms are taken as normal, with a standard deviation that is shrunk to that
    of other data. The threshold is the lower prediction bound of a further value, times the scale.

    The scale of a class is the geometric mean of the distances of other classes' examples to it,
    and of the distances of its own examples to the others of them, leaving one out. A class with
    one example has the former alone, but its threshold is not below the mean distance of the
    example's perturbed copies. Where there is one class, these distances alone decide, with a ratio
    to those of unknown clips that is that of other data.

    Distances are compared from the least that an example has to itself, so they may be negative.

    Args:
        compare: Distances of queries to classes.
        support: Examples with classes ``0..N-1`` as ``y``.
        n_way: Number of classes.
        copies: Mean distance of perturbed copies to each example; read where it is the only one
            of its class.
        false_alarms: Fraction of unknown clips that may be taken for one of the classes.
        spread: Prior for the standard deviation.
        own_class: Compares examples with their own class; by ``compare`` if not given.

    Shapes:
        - **copies:** ``[S]``
    """
    assert support.y is not None
    y = support.y.cpu().numpy()
    own_class = own_class or OwnClass(compare)
    zero = min(0.0, float(own_class.to_clips(support, support).min()))
    single = np.bincount(y, minlength=n_way) == 1
    left_out = np.full(len(y), np.nan)
    for number in np.flatnonzero(~single):
        rows = np.flatnonzero(y == number)
        left_out[rows] = own_class.leave_one_out(support[torch.from_numpy(rows)]).numpy()
    strangers = _strangers(y)
    others = compare(support, support[torch.from_numpy(strangers)].with_y(None), n_way).numpy()
    log_own = _logarithms(np.where(single[y], copies, left_out) - zero)
    log_others = _logarithms(others - zero)
    own = np.bincount(y, log_own) / np.bincount(y)
    if n_way == 1:
        apart = APART_FROM_COPIES if single[0] else APART
        return zero + np.exp(own + apart - spread * _normal_quantile(1 - false_alarms))
    log_others[np.arange(len(strangers)), y[strangers]] = np.nan
    scale = np.nanmean(log_others, axis=0)
    scale = 0.5 * (scale - scale.mean())
    if not single.all():
        scale += 0.5 * np.where(single, 0, own - own[~single].mean())
    nearest = np.sort(log_others - scale, axis=1)  # NaN comes last
    smallest, classes = nearest[:, 0], len(set(y[strangers]))
    if n_way > 2:
        smallest = smallest - (nearest[:, 1] - nearest[:, 0]).mean() / (n_way - 1)
    weight = PRIOR_CLASSES + classes - 1
    variance = smallest.var(ddof=1)
    deviation = math.sqrt((PRIOR_CLASSES * spread**2 + (classes - 1) * variance) / weight)
    margin = _student_quantile(1 - false_alarms, weight) * math.sqrt(1 + 1 / classes) * deviation
    thresholds = np.exp(smallest.mean() - margin + scale)
    return zero + np.where(single, np.maximum(thresholds, np.exp(own)), thresholds)


def _logarithms(distances: np.ndarray) -> np.ndarray:
    """Logarithms, of infinity as of the largest and of zero as of a millionth of that."""
    largest = distances.max(initial=np.finfo(np.float32).tiny, where=np.isfinite(distances))
    return np.log(distances.clip(1e-6 * largest, largest))


def _strangers(y: np.ndarray) -> np.ndarray:
    """Examples that stand for unknown clips: of each class the first, then the second, ..."""
    turn = np.zeros(len(y), dtype=int)
    for number in np.unique(y):
        turn[y == number] = np.arange((y == number).sum())
    return np.lexsort((y, turn))[:MOST_STRANGERS]


def _normal_quantile(probability: float) -> float:
    return float(torch.special.ndtri(torch.tensor(probability, dtype=torch.float64)))


def _student_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t by its expansion, Abramowitz & Stegun (1964), 26.7.5."""
    z = _normal_quantile(probability)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / freedom + second / freedom**2
