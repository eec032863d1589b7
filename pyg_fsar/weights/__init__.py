"""Models that come with the package, and folders of models with the preparation of clips."""

from pyg_fsar.weights.model_folder import PREPARATION, load_model, save_model
from pyg_fsar.weights.pretrained_models import PRETRAINED, load_pretrained

__all__ = ["PREPARATION", "PRETRAINED", "load_model", "load_pretrained", "save_model"]
