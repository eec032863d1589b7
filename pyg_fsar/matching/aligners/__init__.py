"""Aligners: from the frame costs of a pair of clips to one distance."""

from pyg_fsar.matching.aligners.bimhm import bimhm
from pyg_fsar.matching.aligners.diagonal import diagonal
from pyg_fsar.matching.aligners.dtw import dtw, dtw_path
from pyg_fsar.matching.aligners.otam import otam, otam_alignment
from pyg_fsar.matching.aligners.soft_dtw import soft_alignment, soft_dtw
from pyg_fsar.saving import saveable

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

# What a saved matcher may name as its aligner.
for _aligner in (bimhm, diagonal, dtw, otam, soft_dtw):
    saveable(_aligner)
