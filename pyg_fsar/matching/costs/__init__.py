"""Frame costs: how much a frame of a query differs from a frame of a support clip."""

from pyg_fsar.matching.costs.activated import ActivatedCost
from pyg_fsar.matching.costs.base import FrameCost, InnerProductCost
from pyg_fsar.matching.costs.cosine import CosineCost, cosine_cost
from pyg_fsar.matching.costs.euclidean import EuclideanCost, euclidean_cost
from pyg_fsar.matching.costs.joint_weights import joint_weights
from pyg_fsar.matching.costs.ngm import NGMCost
from pyg_fsar.matching.costs.uncertain import UncertainCost

__all__ = [
    "COSTS",
    "ActivatedCost",
    "CosineCost",
    "EuclideanCost",
    "FrameCost",
    "InnerProductCost",
    "NGMCost",
    "UncertainCost",
    "cosine_cost",
    "euclidean_cost",
    "joint_weights",
]

#: Costs by name, as :func:`~pyg_fsar.matching.build_matcher` takes them.
COSTS: dict[str, type[FrameCost]] = {
    "cosine": CosineCost,
    "euclidean": EuclideanCost,
    "ngm": NGMCost,
    "activated": ActivatedCost,
    "uncertain": UncertainCost,
}
