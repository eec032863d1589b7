"""Assertions of the contracts of encoders, matchers and transforms, including your own."""

from pyg_fsar.testing.encoder import assert_encoder
from pyg_fsar.testing.matcher import assert_matcher
from pyg_fsar.testing.transform import assert_transform

__all__ = ["assert_encoder", "assert_matcher", "assert_transform"]
