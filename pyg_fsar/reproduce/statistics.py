"""Means and intervals over episodes and over seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.stats import t as student
from torch import Tensor

from pyg_fsar.metrics import mean_confidence_interval

__all__ = ["Spread", "paired", "spread"]


@dataclass(frozen=True)
class Spread:
    """A mean over seeds and episodes, and how sure it is.

    Args:
        mean: The mean.
        over_episodes: Half width of its 95 % interval over episodes: what other episodes would give
            with the same trained models.
        seeds: Mean of each seed.
        sd: Standard deviation over seeds; None of a single one.
        over_seeds: Half width of the 95 % interval over seeds, by Student's t distribution: what
            other trained models would give on the same episodes; None of a single one.

    Example:
        >>> result = Spread(0.7, over_episodes=0.01, seeds=(0.69, 0.71), sd=0.014, over_seeds=0.1)
        >>> result.mean
        0.7
    """

    mean: float
    over_episodes: float
    seeds: tuple[float, ...]
    sd: float | None
    over_seeds: float | None


def spread(values: Tensor) -> Spread:
    """Mean and intervals.

    Args:
        values: One number for each seed and episode; all seeds have the same episodes.

    Shapes:
        - **values:** ``[seeds, episodes]``
    """
    values = values.double()
    mean, over_episodes = mean_confidence_interval(values.mean(dim=0))
    seeds = values.mean(dim=1)
    count = len(seeds)
    sd = float(seeds.std()) if count > 1 else None
    over_seeds = None
    if sd is not None:
        over_seeds = float(student.ppf(0.975, count - 1)) * sd / math.sqrt(count)
    return Spread(mean, over_episodes, tuple(seeds.tolist()), sd, over_seeds)


def paired(values: Tensor, reference: Tensor) -> Spread:
    """Differences between two rows, taken for each seed and episode, which vary less than the rows
    themselves.

    Args:
        values: Of one row.
        reference: Of the other. What does not depend on the seed has one line.

    Shapes:
        - **values, reference:** ``[seeds, episodes]`` or ``[1, episodes]``

    Raises:
        ValueError: If they differ in episodes, or in seeds.
    """
    one_line = 1 in (len(values), len(reference))
    if values.size(1) != reference.size(1) or not (one_line or len(values) == len(reference)):
        raise ValueError(
            f"rows of {list(values.shape)} and {list(reference.shape)} seeds and episodes are not "
            "pairs"
        )
    return spread(torch.sub(values, reference))
