"""What aligners, costs and encoders compute in the end, as operators that ``torch.compile`` takes
whole.
"""

from pyg_fsar.kernels.activation import Activated, activated_products
from pyg_fsar.kernels.dispatch import backend_for, has_kernel, use_backend
from pyg_fsar.kernels.norm_relu import norm_relu
from pyg_fsar.kernels.operators import warp, warp_backward

__all__ = [
    "Activated",
    "activated_products",
    "backend_for",
    "has_kernel",
    "norm_relu",
    "use_backend",
    "warp",
    "warp_backward",
]
