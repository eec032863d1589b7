"""Measures of over-smoothing, and of accuracy."""

from pyg_fsar.metrics.accuracy import accuracy, mean_confidence_interval
from pyg_fsar.metrics.smoothing import (
    cosine_similarity_map,
    dirichlet_energy,
    effective_rank,
    mean_average_distance,
    numerical_rank,
)

__all__ = [
    "accuracy",
    "cosine_similarity_map",
    "dirichlet_energy",
    "effective_rank",
    "mean_average_distance",
    "mean_confidence_interval",
    "numerical_rank",
]
