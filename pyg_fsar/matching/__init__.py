"""Matching queries with classes: frame costs, temporal alignment, and matchers made of both."""

from pyg_fsar.matching.aligners import (
    bimhm,
    diagonal,
    dtw,
    dtw_path,
    otam,
    otam_alignment,
    soft_alignment,
    soft_dtw,
)
from pyg_fsar.matching.costs import (
    COSTS,
    ActivatedCost,
    CosineCost,
    EuclideanCost,
    FrameCost,
    InnerProductCost,
    NGMCost,
    cosine_cost,
    euclidean_cost,
)
from pyg_fsar.matching.matcher import MATCHERS, Alignment, Matcher, build_matcher

__all__ = [
    "COSTS",
    "MATCHERS",
    "ActivatedCost",
    "Alignment",
    "CosineCost",
    "EuclideanCost",
    "FrameCost",
    "InnerProductCost",
    "Matcher",
    "NGMCost",
    "bimhm",
    "build_matcher",
    "cosine_cost",
    "diagonal",
    "dtw",
    "dtw_path",
    "euclidean_cost",
    "otam",
    "otam_alignment",
    "soft_alignment",
    "soft_dtw",
]
