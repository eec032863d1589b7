"""Encoders, and the model that matches what they encode."""

from pyg_fsar.nn.models.few_shot import FewShotModel
from pyg_fsar.nn.models.frame_encoder import FrameEncoder
from pyg_fsar.nn.models.st_gcn import STGCN, STGCNBlock

__all__ = ["STGCN", "FewShotModel", "FrameEncoder", "STGCNBlock"]
