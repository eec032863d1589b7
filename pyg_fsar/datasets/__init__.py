"""Datasets of skeleton clips: one reader per format over one memory-mapped store."""

from pyg_fsar.datasets.arrays import SkeletonArrays
from pyg_fsar.datasets.base import SkeletonDataset
from pyg_fsar.datasets.class_split_dataset import ClassSplitDataset
from pyg_fsar.datasets.fake import FakeSkeletonDataset
from pyg_fsar.datasets.hdm05 import HDM05
from pyg_fsar.datasets.joined import JoinedDatasets
from pyg_fsar.datasets.kinder_gator import KinderGator
from pyg_fsar.datasets.kinetics import KineticsSkeleton
from pyg_fsar.datasets.ntu import NTURGBD
from pyg_fsar.datasets.ntu_classes import NTU_CLASS_NAMES
from pyg_fsar.datasets.pyskl import PYSKLPickle
from pyg_fsar.datasets.skeleton_folder import SkeletonFolder
from pyg_fsar.datasets.splits import class_split, draw_per_class
from pyg_fsar.datasets.storage import RawClip, SkeletonStore
from pyg_fsar.datasets.utd_mhad import UTDMHAD
from pyg_fsar.formats.ntu_format import (
    parse_ntu_skeleton,
    read_ntu_skeleton,
    write_ntu_skeleton,
)

__all__ = [
    "HDM05",
    "NTURGBD",
    "NTU_CLASS_NAMES",
    "UTDMHAD",
    "ClassSplitDataset",
    "FakeSkeletonDataset",
    "JoinedDatasets",
    "KinderGator",
    "KineticsSkeleton",
    "PYSKLPickle",
    "RawClip",
    "SkeletonArrays",
    "SkeletonDataset",
    "SkeletonFolder",
    "SkeletonStore",
    "class_split",
    "draw_per_class",
    "parse_ntu_skeleton",
    "read_ntu_skeleton",
    "write_ntu_skeleton",
]
