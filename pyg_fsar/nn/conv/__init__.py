"""Convolutions over joints and over time."""

from pyg_fsar.nn.conv.adaptive_graph_conv import AdaptiveGraphConv
from pyg_fsar.nn.conv.ctr_graph_conv import CTRGraphConv
from pyg_fsar.nn.conv.multi_scale_temporal_conv import MultiScaleTemporalConv
from pyg_fsar.nn.conv.rank_max_conv import RankMaxConv
from pyg_fsar.nn.conv.spatial_graph_conv import SpatialGraphConv
from pyg_fsar.nn.conv.temporal_conv import NormalisedConv, TemporalConv
from pyg_fsar.nn.conv.window_graph_conv import WindowGraphConv

__all__ = [
    "AdaptiveGraphConv",
    "CTRGraphConv",
    "MultiScaleTemporalConv",
    "NormalisedConv",
    "RankMaxConv",
    "SpatialGraphConv",
    "TemporalConv",
    "WindowGraphConv",
]
