"""Encoders of skeletons."""

from collections.abc import Callable

from pyg_fsar.nn.models.aagcn import (
    AAGCN,
    AAGCNBlock,
    GatedGraphConv,
    JointTimeChannelAttention,
)
from pyg_fsar.nn.models.agcn import AGCN, AGCNBlock
from pyg_fsar.nn.models.block_encoder import BlockEncoder
from pyg_fsar.nn.models.ctr_gcn import CTRGCN, PYSKLCTRGCN, CTRGCNBlock, PYSKLCTRGCNBlock
from pyg_fsar.nn.models.encoder import SkeletonEncoder, block_plan, make_norm
from pyg_fsar.nn.models.frame_encoder import FrameEncoder
from pyg_fsar.nn.models.motion_encoder import MotionEncoder
from pyg_fsar.nn.models.motion_features import MotionFeatures
from pyg_fsar.nn.models.ms_g3d import MSG3D, MSG3DStage
from pyg_fsar.nn.models.multi_scale import MultiScaleBlock, MultiScaleEncoder
from pyg_fsar.nn.models.multi_stream import MultiStream
from pyg_fsar.nn.models.multi_view import MultiView
from pyg_fsar.nn.models.skeleton_lstm import SkeletonLSTM
from pyg_fsar.nn.models.st_gcn import STGCN, STGCNBlock
from pyg_fsar.nn.models.st_gcn_pp import STGCNPP, STGCNPPBlock
from pyg_fsar.nn.models.streams import STREAMS, Stream

__all__ = [
    "AAGCN",
    "AGCN",
    "BACKBONES",
    "CTRGCN",
    "MSG3D",
    "PYSKLCTRGCN",
    "STGCN",
    "STGCNPP",
    "STREAMS",
    "AAGCNBlock",
    "AGCNBlock",
    "BlockEncoder",
    "CTRGCNBlock",
    "FrameEncoder",
    "GatedGraphConv",
    "JointTimeChannelAttention",
    "MSG3DStage",
    "MotionEncoder",
    "MotionFeatures",
    "MultiScaleBlock",
    "MultiScaleEncoder",
    "MultiStream",
    "MultiView",
    "PYSKLCTRGCNBlock",
    "STGCNBlock",
    "STGCNPPBlock",
    "SkeletonEncoder",
    "SkeletonLSTM",
    "Stream",
    "block_plan",
    "make_norm",
]

#: Backbones by name, as :class:`~pyg_fsar.training.ModelOptions` and command lines take them. Each
#: is called with a skeleton and the number of channels, and by name with what it takes of
#: ``num_blocks``, ``kernel_size``, ``dropout``, ``input_norm``, ``norm`` and ``drop_edge``.
BACKBONES: dict[str, Callable[..., SkeletonEncoder]] = {
    "stgcn": STGCN,
    "agcn": AGCN,
    "aagcn": AAGCN,
    "msg3d": MSG3D,
    "lstm": SkeletonLSTM,
    "ctrgcn": CTRGCN,
    "stgcnpp": STGCNPP,
}
