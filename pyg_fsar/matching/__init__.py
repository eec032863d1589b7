"""Matching queries with classes: frame costs, temporal alignment, and matchers made of both."""

from pyg_fsar.matching.aligners import (
    DTW,
    OTAM,
    BiMHM,
    Diagonal,
    SoftDTW,
    bimhm,
    diagonal,
    dtw,
    dtw_path,
    otam,
    otam_alignment,
    soft_alignment,
    soft_dtw,
)
from pyg_fsar.matching.base import DistanceMatcher, match, missing_for_pictures
from pyg_fsar.matching.bounds import BoundTerms, LowerBounds
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
from pyg_fsar.matching.dastm import DASTMMaker
from pyg_fsar.matching.koopman import KoopmanMatcher
from pyg_fsar.matching.matcher import Alignment, Matcher
from pyg_fsar.matching.motion import MotionMatcher
from pyg_fsar.matching.multi_stream import MultiStreamMatcher, match_streams
from pyg_fsar.matching.pair_maker import PairMaker
from pyg_fsar.matching.registry import MATCHERS, build_matcher, matcher_options, unknown_options
from pyg_fsar.matching.search import NearestSearch
from pyg_fsar.matching.shots import (
    SHOTS,
    Shots,
    mean_prototypes,
    soft_dtw_barycentre,
    soft_dtw_barycentres,
)

__all__ = [
    "COSTS",
    "DTW",
    "MATCHERS",
    "OTAM",
    "SHOTS",
    "ActivatedCost",
    "Alignment",
    "BiMHM",
    "BoundTerms",
    "CosineCost",
    "DASTMMaker",
    "Diagonal",
    "DistanceMatcher",
    "EuclideanCost",
    "FrameCost",
    "InnerProductCost",
    "KoopmanMatcher",
    "LowerBounds",
    "Matcher",
    "MotionMatcher",
    "MultiStreamMatcher",
    "NGMCost",
    "NearestSearch",
    "PairMaker",
    "Shots",
    "SoftDTW",
    "bimhm",
    "build_matcher",
    "cosine_cost",
    "diagonal",
    "dtw",
    "dtw_path",
    "euclidean_cost",
    "match",
    "match_streams",
    "matcher_options",
    "mean_prototypes",
    "missing_for_pictures",
    "otam",
    "otam_alignment",
    "soft_alignment",
    "soft_dtw",
    "soft_dtw_barycentre",
    "soft_dtw_barycentres",
    "unknown_options",
]
