"""Normalisation of joints."""

from pyg_fsar.nn.norm.pair_norm import PairNorm

__all__ = ["PairNorm"]
