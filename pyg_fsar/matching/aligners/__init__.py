"""Aligners: from the frame costs of a pair of clips to one distance.

Each file holds the function, and a small frozen dataclass that is the same function with its
options, as :class:`~pyg_fsar.matching.Matcher` takes it.
"""

from collections.abc import Callable
from typing import Any

from pyg_fsar.matching.aligners.bimhm import BiMHM, bimhm
from pyg_fsar.matching.aligners.diagonal import Diagonal, diagonal
from pyg_fsar.matching.aligners.dtw import DTW, dtw, dtw_path
from pyg_fsar.matching.aligners.jeanie import JEANIE, jeanie
from pyg_fsar.matching.aligners.mhm import MHM, mhm
from pyg_fsar.matching.aligners.otam import OTAM, otam, otam_alignment
from pyg_fsar.matching.aligners.soft_dtw import SoftDTW, soft_alignment, soft_dtw
from pyg_fsar.matching.aligners.tcmhm import TCMHM, tcmhm
from pyg_fsar.matching.aligners.views import Views
from pyg_fsar.saving import saveable

__all__ = [
    "ALIGNERS",
    "DTW",
    "JEANIE",
    "MHM",
    "OTAM",
    "TCMHM",
    "BiMHM",
    "Diagonal",
    "SoftDTW",
    "Views",
    "bimhm",
    "diagonal",
    "dtw",
    "dtw_path",
    "jeanie",
    "mhm",
    "otam",
    "otam_alignment",
    "soft_alignment",
    "soft_dtw",
    "tcmhm",
]

#: Aligners by name, as ``"views"`` takes them.
ALIGNERS: dict[str, Callable[..., Any]] = {
    "diagonal": Diagonal,
    "dtw": DTW,
    "soft_dtw": SoftDTW,
    "otam": OTAM,
    "mhm": MHM,
    "bimhm": BiMHM,
    "tcmhm": TCMHM,
}

# What a saved matcher may name as its aligner.
for _aligner in (*ALIGNERS.values(), JEANIE, Views):
    saveable(_aligner)
for _function in (bimhm, diagonal, dtw, jeanie, mhm, otam, soft_dtw, tcmhm):
    saveable(_function)
