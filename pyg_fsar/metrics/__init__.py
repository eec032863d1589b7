"""Measures of over-smoothing, of accuracy, of actions found in recordings, and of what is known of
unknown queries.
"""

from pyg_fsar.metrics.accuracy import (
    QUERY_METRICS,
    accuracy,
    mean_confidence_interval,
    query_hits,
)
from pyg_fsar.metrics.open_set import auroc, expected_calibration_error, threshold_at
from pyg_fsar.metrics.smoothing import (
    cosine_similarity_map,
    dirichlet_energy,
    effective_rank,
    mean_average_distance,
    numerical_rank,
)
from pyg_fsar.metrics.spotting import edit_accuracy, frame_f1, segment_f1

__all__ = [
    "QUERY_METRICS",
    "accuracy",
    "auroc",
    "cosine_similarity_map",
    "dirichlet_energy",
    "edit_accuracy",
    "effective_rank",
    "expected_calibration_error",
    "frame_f1",
    "mean_average_distance",
    "mean_confidence_interval",
    "numerical_rank",
    "query_hits",
    "segment_f1",
    "threshold_at",
]
