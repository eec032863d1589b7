"""The recursion of dynamic time warping, hard and soft, by several backends."""

from pyg_fsar.kernels.warp.dispatch import backend_for
from pyg_fsar.kernels.warp.exported import exported_total
from pyg_fsar.kernels.warp.limits import refuse_overflow
from pyg_fsar.kernels.warp.operators import warp, warp_backward, warp_total

__all__ = [
    "backend_for",
    "exported_total",
    "refuse_overflow",
    "warp",
    "warp_backward",
    "warp_total",
]
