"""Encoders with the weights of other code bases."""

from pyg_fsar.nn.public.aagcn import aagcn_from_public
from pyg_fsar.nn.public.ctr_gcn import ctrgcn_from_public
from pyg_fsar.nn.public.describe import PublicCheckpoint, describe_public
from pyg_fsar.nn.public.st_gcn import stgcn_from_public
from pyg_fsar.nn.public.st_gcn_pp import stgcnpp_from_public

__all__ = [
    "PublicCheckpoint",
    "aagcn_from_public",
    "ctrgcn_from_public",
    "describe_public",
    "stgcn_from_public",
    "stgcnpp_from_public",
]
