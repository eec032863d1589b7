"""Compiled kernels of aligners, costs and norms, as operators that ``torch.compile`` takes whole,
and the switch of all fast paths.
"""

from pyg_fsar.kernels.exporting import exporting, loop
from pyg_fsar.kernels.fused import Activated, activated_products, has_kernel, norm_relu
from pyg_fsar.kernels.second_gradient import second_gradient
from pyg_fsar.kernels.switch import takes_cpu_operators, takes_operators, use_backend
from pyg_fsar.kernels.warp import (
    backend_for,
    exported_total,
    refuse_overflow,
    warp,
    warp_backward,
    warp_total,
)

__all__ = [
    "Activated",
    "activated_products",
    "backend_for",
    "exported_total",
    "exporting",
    "has_kernel",
    "loop",
    "norm_relu",
    "refuse_overflow",
    "second_gradient",
    "takes_cpu_operators",
    "takes_operators",
    "use_backend",
    "warp",
    "warp_backward",
    "warp_total",
]
