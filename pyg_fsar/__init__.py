"""Few-shot action recognition on human skeletons, as a PyTorch Geometric plugin."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pyg_fsar import layouts as layouts  # registers them
from pyg_fsar.skeleton import Skeleton

if TYPE_CHECKING:
    from pyg_fsar.classifier import Explanation, FewShotClassifier
    from pyg_fsar.few_shot import FewShotModel
    from pyg_fsar.weights import load_pretrained

__version__ = "0.1.0"

__all__ = ["Explanation", "FewShotClassifier", "FewShotModel", "Skeleton", "load_pretrained"]

# Where the names are that `import pyg_fsar` does not load at once.
LAZY = {
    "Explanation": "classifier",
    "FewShotClassifier": "classifier",
    "FewShotModel": "few_shot",
    "load_pretrained": "weights",
}

SUBPACKAGES = (
    "classifier",
    "cli",
    "data",
    "datasets",
    "export",
    "few_shot",
    "formats",
    "kernels",
    "loader",
    "matching",
    "metrics",
    "nn",
    "reproduce",
    "saving",
    "testing",
    "training",
    "transforms",
    "visualization",
    "weights",
)


def __getattr__(name: str) -> Any:
    # `import pyg_fsar` stays fast, and `pyg_fsar.nn` is there when it is first asked for.
    if name in SUBPACKAGES:
        return import_module(f"pyg_fsar.{name}")
    if name in LAZY:
        return getattr(import_module(f"pyg_fsar.{LAZY[name]}"), name)
    raise AttributeError(f"module 'pyg_fsar' has no attribute '{name}'")
