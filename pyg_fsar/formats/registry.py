"""All file formats by name."""

from __future__ import annotations

from pyg_fsar.formats.base import Format
from pyg_fsar.formats.openpose import OPENPOSE

__all__ = ["FORMATS"]

#: All formats, in the order in which a file is tried against them: those with an unmistakable
#: content come first, the more general ones last.
FORMATS: dict[str, Format] = {
    "openpose": OPENPOSE,
}
