"""Clips from the files that people have: one module per file format, found by content."""

from pyg_fsar.formats.base import Format, Recording
from pyg_fsar.formats.read import read_clip, recognise
from pyg_fsar.formats.registry import FORMATS
from pyg_fsar.formats.source import Source
from pyg_fsar.formats.tracking import order_by_motion, track_people

__all__ = [
    "FORMATS",
    "Format",
    "Recording",
    "Source",
    "order_by_motion",
    "read_clip",
    "recognise",
    "track_people",
]
