"""Measures of over-smoothing, and of accuracy."""

from pyg_fsar.metrics.accuracy import (
    QUERY_METRICS,
    accuracy,
    mean_confidence_interval,
    query_hits,
)
from pyg_fsar.metrics.smoothing import (
    cosine_similarity_map,
    dirichlet_energy,
    effective_rank,
    mean_average_distance,
    numerical_rank,
)

__all__ = [
    "QUERY_METRICS",
    "accuracy",
    "cosine_similarity_map",
    "dirichlet_energy",
    "effective_rank",
    "mean_average_distance",
    "mean_confidence_interval",
    "numerical_rank",
    "query_hits",
]
