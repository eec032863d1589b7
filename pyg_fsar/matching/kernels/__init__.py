"""What aligners and costs compute in the end, as operators that ``torch.compile`` takes whole."""

from pyg_fsar.matching.kernels.activation import (
    Activated,
    activated_products,
    has_activated_products,
)
from pyg_fsar.matching.kernels.dispatch import backend_for, use_backend
from pyg_fsar.matching.kernels.operators import warp, warp_backward

__all__ = [
    "Activated",
    "activated_products",
    "backend_for",
    "has_activated_products",
    "use_backend",
    "warp",
    "warp_backward",
]
