"""Several operations in one compiled kernel, on the CPU."""

from pyg_fsar.kernels.fused.activation import Activated, activated_products
from pyg_fsar.kernels.fused.library import has_kernel
from pyg_fsar.kernels.fused.norm_relu import norm_relu

__all__ = ["Activated", "activated_products", "has_kernel", "norm_relu"]
