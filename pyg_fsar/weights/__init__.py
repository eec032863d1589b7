"""Models that come with the package."""

from pyg_fsar.weights.pretrained_models import PRETRAINED, load_pretrained

__all__ = ["PRETRAINED", "load_pretrained"]
