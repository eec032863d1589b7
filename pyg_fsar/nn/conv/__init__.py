"""Convolutions over joints and over time."""

from pyg_fsar.nn.conv.rank_max_conv import RankMaxConv
from pyg_fsar.nn.conv.spatial_graph_conv import SpatialGraphConv
from pyg_fsar.nn.conv.temporal_conv import TemporalConv

__all__ = ["RankMaxConv", "SpatialGraphConv", "TemporalConv"]
