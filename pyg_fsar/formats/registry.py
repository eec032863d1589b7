"""All file formats by name."""

from __future__ import annotations

from pyg_fsar.formats.asf_amc import ASF_AMC
from pyg_fsar.formats.base import Format
from pyg_fsar.formats.bvh import BVH
from pyg_fsar.formats.c3d import C3D
from pyg_fsar.formats.openpose import OPENPOSE
from pyg_fsar.formats.trc import TRC

__all__ = ["FORMATS"]

#: All formats, in the order in which a file is tried against them: those with an unmistakable
#: content come first, the more general ones last.
FORMATS: dict[str, Format] = {
    "bvh": BVH,
    "asf_amc": ASF_AMC,
    "c3d": C3D,
    "trc": TRC,
    "openpose": OPENPOSE,
}
