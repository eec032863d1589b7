"""All file formats by name."""

from __future__ import annotations

from pyg_fsar.formats.alphapose import ALPHAPOSE
from pyg_fsar.formats.asf_amc import ASF_AMC
from pyg_fsar.formats.azure import AZURE
from pyg_fsar.formats.base import Format
from pyg_fsar.formats.bvh import BVH
from pyg_fsar.formats.c3d import C3D
from pyg_fsar.formats.coco import COCO
from pyg_fsar.formats.joints_csv import JOINTS_CSV
from pyg_fsar.formats.kinetics import KINETICS
from pyg_fsar.formats.mediapipe import MEDIAPIPE
from pyg_fsar.formats.mmpose import MMPOSE
from pyg_fsar.formats.ntu import NTU
from pyg_fsar.formats.openpose import OPENPOSE
from pyg_fsar.formats.plain import PLAIN
from pyg_fsar.formats.pose import POSE
from pyg_fsar.formats.pyskl import PYSKL
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
    "kinetics": KINETICS,
    "coco": COCO,
    "alphapose": ALPHAPOSE,
    "mmpose": MMPOSE,
    "azure": AZURE,
    "ntu": NTU,
    "pose": POSE,
    "pyskl": PYSKL,
    "mediapipe": MEDIAPIPE,
    "joints_csv": JOINTS_CSV,
    "plain": PLAIN,
}
