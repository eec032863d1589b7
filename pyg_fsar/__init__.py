"""Few-shot action recognition on human skeletons, as a PyTorch Geometric plugin."""

from pyg_fsar.skeleton import Skeleton

__version__ = "0.1.0"

__all__ = ["Skeleton"]
