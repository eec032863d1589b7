"""Convolutions as functions, in plain torch."""

from pyg_fsar.nn.functional.frames import every_frame
from pyg_fsar.nn.functional.graph_conv import graph_conv
from pyg_fsar.nn.functional.short_conv import prefers_short_conv, short_conv

__all__ = ["every_frame", "graph_conv", "prefers_short_conv", "short_conv"]
