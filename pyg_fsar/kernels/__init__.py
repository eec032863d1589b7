"""What aligners, costs and encoders compute in the end, as operators that ``torch.compile`` takes
whole.
"""

from pyg_fsar.kernels.activation import Activated, activated_products
from pyg_fsar.kernels.dispatch import backend_for, has_kernel, takes_operators, use_backend
from pyg_fsar.kernels.graph_conv import graph_conv
from pyg_fsar.kernels.norm_relu import norm_relu
from pyg_fsar.kernels.operators import warp, warp_backward, warp_total
from pyg_fsar.kernels.short_conv import short_conv, short_conv_pays

__all__ = [
    "Activated",
    "activated_products",
    "backend_for",
    "graph_conv",
    "has_kernel",
    "norm_relu",
    "short_conv",
    "short_conv_pays",
    "takes_operators",
    "use_backend",
    "warp",
    "warp_backward",
    "warp_total",
]
