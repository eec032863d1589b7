"""Aligners: from the frame costs of a pair of clips to one distance."""

from pyg_fsar.matching.aligners.bimhm import bimhm
from pyg_fsar.matching.aligners.diagonal import diagonal
from pyg_fsar.matching.aligners.dtw import dtw, dtw_path
from pyg_fsar.matching.aligners.otam import otam, otam_alignment
from pyg_fsar.matching.aligners.soft_dtw import soft_alignment, soft_dtw

__all__ = [
    "bimhm",
    "diagonal",
    "dtw",
    "dtw_path",
    "otam",
    "otam_alignment",
    "soft_alignment",
    "soft_dtw",
]
