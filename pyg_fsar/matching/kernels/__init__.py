"""Recursions behind the aligners, as operators that ``torch.compile`` takes whole."""

from pyg_fsar.matching.kernels.soft_dtw import warp, warp_backward

__all__ = ["warp", "warp_backward"]
