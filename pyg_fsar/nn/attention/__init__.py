"""Attention between joints, of one frame or of two."""

from pyg_fsar.nn.attention.edge_attention import EdgeAttention
from pyg_fsar.nn.attention.spatial_activation import (
    JointActivation,
    QueryMaps,
    SpatialActivation,
    SupportMaps,
)

__all__ = ["EdgeAttention", "JointActivation", "QueryMaps", "SpatialActivation", "SupportMaps"]
