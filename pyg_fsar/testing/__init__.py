"""Assertions of the contracts of encoders, matchers and transforms, and sample files."""

from pyg_fsar.testing.encoder import assert_encoder
from pyg_fsar.testing.matcher import assert_matcher
from pyg_fsar.testing.sample_folder import write_sample_clip, write_sample_folder
from pyg_fsar.testing.samples import SAMPLES, SampleFile, sample_bodies
from pyg_fsar.testing.transform import assert_transform

__all__ = [
    "SAMPLES",
    "SampleFile",
    "assert_encoder",
    "assert_matcher",
    "assert_transform",
    "sample_bodies",
    "write_sample_clip",
    "write_sample_folder",
]
