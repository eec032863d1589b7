"""Matching queries with classes: frame costs, temporal alignment, and matchers made of both."""

from pyg_fsar.matching.aligners import (
    bimhm,
    diagonal,
    dtw,
    dtw_path,
    otam,
    soft_alignment,
    soft_dtw,
)
from pyg_fsar.matching.costs import (
    COSTS,
    CosineCost,
    EuclideanCost,
    FrameCost,
    InnerProductCost,
    cosine_cost,
    euclidean_cost,
)
from pyg_fsar.matching.matcher import MATCHERS, Alignment, Matcher, build_matcher

__all__ = [
    "COSTS",
    "MATCHERS",
    "Alignment",
    "CosineCost",
    "EuclideanCost",
    "FrameCost",
    "InnerProductCost",
    "Matcher",
    "bimhm",
    "build_matcher",
    "cosine_cost",
    "diagonal",
    "dtw",
    "dtw_path",
    "euclidean_cost",
    "otam",
    "soft_alignment",
    "soft_dtw",
]
