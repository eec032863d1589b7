"""Matching queries with classes: frame costs, temporal alignment, and matchers made of both."""

from pyg_fsar.matching.aligners import (
    ALIGNERS,
    DTW,
    JEANIE,
    MHM,
    OTAM,
    TCMHM,
    BiMHM,
    Diagonal,
    SoftDTW,
    Views,
    bimhm,
    diagonal,
    dtw,
    dtw_path,
    jeanie,
    mhm,
    otam,
    otam_alignment,
    soft_alignment,
    soft_dtw,
    tcmhm,
)
from pyg_fsar.matching.base import (
    DistanceMatcher,
    match,
    matcher_penalty,
    missing_for_pictures,
    refuse_relative,
)
from pyg_fsar.matching.bounds import BoundTerms, LowerBounds
from pyg_fsar.matching.costs import (
    COSTS,
    ActivatedCost,
    CosineCost,
    EuclideanCost,
    FrameCost,
    InnerProductCost,
    NGMCost,
    UncertainCost,
    cosine_cost,
    euclidean_cost,
    joint_weights,
)
from pyg_fsar.matching.dastm import DASTMMaker
from pyg_fsar.matching.koopman import KoopmanMatcher
from pyg_fsar.matching.matcher import Alignment, Matcher
from pyg_fsar.matching.mixture import MixtureMaker, MixtureMatcher
from pyg_fsar.matching.motion import MotionMatcher
from pyg_fsar.matching.multi_stream import MultiStreamMatcher, match_streams
from pyg_fsar.matching.multi_view import MultiViewMatcher, match_views, views_of
from pyg_fsar.matching.pair_maker import PairMaker
from pyg_fsar.matching.reference import ReferenceMatcher
from pyg_fsar.matching.registry import MATCHERS, build_matcher, matcher_options, unknown_options
from pyg_fsar.matching.search import NearestSearch
from pyg_fsar.matching.shots import (
    SHOTS,
    Shots,
    consistent_joints,
    mean_prototypes,
    soft_dtw_barycentre,
    soft_dtw_barycentres,
)
from pyg_fsar.matching.subsequence import SubsequenceAligner
from pyg_fsar.matching.udtw import UDTWMatcher
from pyg_fsar.matching.views import ViewsMaker

__all__ = [
    "ALIGNERS",
    "COSTS",
    "DTW",
    "JEANIE",
    "MATCHERS",
    "MHM",
    "OTAM",
    "SHOTS",
    "TCMHM",
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
    "MixtureMaker",
    "MixtureMatcher",
    "MotionMatcher",
    "MultiStreamMatcher",
    "MultiViewMatcher",
    "NGMCost",
    "NearestSearch",
    "PairMaker",
    "ReferenceMatcher",
    "Shots",
    "SoftDTW",
    "SubsequenceAligner",
    "UDTWMatcher",
    "UncertainCost",
    "Views",
    "ViewsMaker",
    "bimhm",
    "build_matcher",
    "consistent_joints",
    "cosine_cost",
    "diagonal",
    "dtw",
    "dtw_path",
    "euclidean_cost",
    "jeanie",
    "joint_weights",
    "match",
    "match_streams",
    "match_views",
    "matcher_options",
    "matcher_penalty",
    "mean_prototypes",
    "mhm",
    "missing_for_pictures",
    "otam",
    "otam_alignment",
    "refuse_relative",
    "soft_alignment",
    "soft_dtw",
    "soft_dtw_barycentre",
    "soft_dtw_barycentres",
    "tcmhm",
    "unknown_options",
    "views_of",
]
