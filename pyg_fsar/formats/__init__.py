"""Clips from the files that people have: one module per file format, found by content."""

from pyg_fsar.formats.base import Format, Recording
from pyg_fsar.formats.read import read_clip, recognise
from pyg_fsar.formats.registry import FORMATS
from pyg_fsar.formats.source import Source

__all__ = [
    "FORMATS",
    "Format",
    "Recording",
    "Source",
    "read_clip",
    "recognise",
]
