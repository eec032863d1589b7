"""Measures for queries that may be of no class, and for probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["auroc", "expected_calibration_error", "threshold_at"]


def auroc(known: Tensor, unknown: Tensor) -> float:
    """Area under the ROC curve: the probability that a known query's score is above an unknown
    one's, equal scores counting half. 0.5 is chance.

    Shapes:
        - **known:** ``[n]``
        - **unknown:** ``[m]``

    Raises:
        ValueError: If there are none of either, or a score is NaN.
    """
    if not len(known) or not len(unknown):
        raise ValueError("AUROC needs at least one known and one unknown query")
    if bool(known.isnan().any()) or bool(unknown.isnan().any()):
        raise ValueError("a score is NaN; look for a weight of the model that is NaN")
    ordered = unknown.sort().values
    below = torch.searchsorted(ordered, known.contiguous())
    up_to = torch.searchsorted(ordered, known.contiguous(), right=True)
    return float((below + up_to).double().mean() / (2 * len(unknown)))


def threshold_at(unknown: Tensor, false_alarms: float) -> float:
    """Score that the given fraction of unknown queries exceeds, or as many fewer as there must be.

    Shapes:
        - **unknown:** ``[m]``

    Raises:
        ValueError: If there is no query, or the fraction is not in 0..1.
    """
    if not len(unknown) or not 0 <= false_alarms <= 1:
        raise ValueError(
            f"false_alarms must be in 0..1, of at least one query; got {false_alarms} of "
            f"{len(unknown)}"
        )
    allowed = int(false_alarms * len(unknown))
    if allowed == len(unknown):
        return -torch.inf
    return float(unknown.sort(descending=True).values[allowed])


def expected_calibration_error(probabilities: Tensor, y: Tensor, num_bins: int = 15) -> float:
    r"""Mean difference between the highest probability of a query and how often its class is right,
    as in Guo et al. (ICML 2017).

    Queries are put into bins of equal width by their highest probability; the differences of the
    means of the bins are averaged, weighted by their queries.

    Args:
        probabilities: Of each query and class.
        y: Class of each query.
        num_bins: Number of bins.

    Shapes:
        - **probabilities:** ``[Q, N]``
        - **y:** ``[Q]``

    Raises:
        ValueError: If shapes do not fit, there is no query, or no bin.
    """
    if probabilities.dim() != 2 or y.shape != probabilities.shape[:1] or not len(y):
        raise ValueError(
            "probabilities must be [Q, N] and y [Q] with at least one query, got "
            f"{tuple(probabilities.shape)} and {tuple(y.shape)}"
        )
    if num_bins < 1:
        raise ValueError(f"num_bins must be at least 1, got {num_bins}")
    highest, best = probabilities.double().max(dim=1)
    bins = (highest * num_bins).long().clamp(0, num_bins - 1)
    differences = torch.zeros(num_bins, dtype=torch.float64, device=y.device)
    differences.index_add_(0, bins, highest - (best == y).double())
    return float(differences.abs().sum() / len(y))
