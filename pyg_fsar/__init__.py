"""Few-shot action recognition on human skeletons, as a PyTorch Geometric plugin."""

from importlib import import_module
from types import ModuleType

from pyg_fsar import layouts as layouts  # registers them
from pyg_fsar.skeleton import Skeleton

__version__ = "0.1.0"

__all__ = ["Skeleton"]

SUBPACKAGES = (
    "data",
    "datasets",
    "loader",
    "matching",
    "metrics",
    "nn",
    "testing",
    "training",
    "transforms",
    "visualization",
)


def __getattr__(name: str) -> ModuleType:
    # `import pyg_fsar` stays fast, and `pyg_fsar.nn` is there when it is first asked for.
    if name in SUBPACKAGES:
        return import_module(f"pyg_fsar.{name}")
    raise AttributeError(f"module 'pyg_fsar' has no attribute '{name}'")
