"""Neural network building blocks: convolutions, norms, regularisers and encoders."""

from pyg_fsar.nn.conv import RankMaxConv, SpatialGraphConv, TemporalConv
from pyg_fsar.nn.drop_edge import DropEdge, drop_edge
from pyg_fsar.nn.models import STGCN, FewShotModel, FrameEncoder, STGCNBlock
from pyg_fsar.nn.norm import PairNorm
from pyg_fsar.nn.rank_max import RankMax, nuclear_norm

__all__ = [
    "STGCN",
    "DropEdge",
    "FewShotModel",
    "FrameEncoder",
    "PairNorm",
    "RankMax",
    "RankMaxConv",
    "STGCNBlock",
    "SpatialGraphConv",
    "TemporalConv",
    "drop_edge",
    "nuclear_norm",
]
