"""Small files of formats of captured motion, to try readers, documentation and benchmarks with."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np

from pyg_fsar.datasets.fake_body import Body
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.testing.samples import SampleFile

__all__ = ["MOTION_SAMPLES"]

BONE = """  begin
     id {number}
     name {name}
     direction {direction}
     length {length:.6f}
     axis 0 0 0 XYZ
    dof rx ry rz
    limits (-180 180)
           (-180 180)
           (-180 180)
  end
"""


def write_bvh(path: Path, bodies: np.ndarray, skeleton: str = "kinect20") -> None:
    """A tree of joints each of which is moved by three channels of its position."""
    layout = Skeleton.get(skeleton)
    body = bodies[0, ..., :3].astype(np.float64)
    order: list[int] = []
    lines = ["HIERARCHY"]

    def add(joint: int, depth: int) -> None:
        children = [child for child, parent in layout.bones if parent == joint]
        offset = body[0, joint] - (body[0, layout.parents[joint]] if depth else 0)
        order.append(joint)
        pad = "\t" * depth
        lines.extend(
            [
                f"{pad}{'JOINT' if depth else 'ROOT'} {layout.joints[joint]}",
                pad + "{",
                f"{pad}\tOFFSET " + " ".join(f"{value:.6f}" for value in offset),
                f"{pad}\tCHANNELS 3 Xposition Yposition Zposition",
            ]
        )
        for child in children:
            add(child, depth + 1)
        if not children:
            lines.extend(
                [f"{pad}\tEnd Site", pad + "\t{", f"{pad}\t\tOFFSET 0 0.01 0", pad + "\t}"]
            )
        lines.append(pad + "}")

    add(layout.center, 0)
    parents = [layout.parents[joint] for joint in order]
    moved = body[:, order] - body[:, parents] * (np.array(order) != layout.center)[:, None]
    lines += ["MOTION", f"Frames: {len(body)}", "Frame Time: 0.033333"]
    lines += [" ".join(f"{value:.6f}" for value in frame.ravel()) for frame in moved]
    path.write_text("\n".join(lines) + "\n")


def write_asf_amc(path: Path, bodies: np.ndarray, skeleton: str = "cmu31") -> None:
    """A skeleton, in an ASF file beside ``path``, whose root goes where the body's does and whose
    bones turn a little.
    """
    layout = Skeleton.get(skeleton)
    bones = Body(layout).rest - Body(layout).rest[list(layout.parents)]
    lengths = np.linalg.norm(bones, axis=1)
    names = ["root" if joint == layout.center else name for joint, name in enumerate(layout.joints)]
    text = ":units\n  mass 1.0\n  length 0.0254\n  angle deg\n:root\n  order TX TY TZ RX RY RZ\n"
    text += "  axis XYZ\n  position 0 0 0\n  orientation 0 0 0\n:bonedata\n"
    for joint, _ in layout.bones:
        direction = " ".join(f"{v:.6f}" for v in bones[joint] / lengths[joint])
        text += BONE.format(
            number=joint, name=names[joint], direction=direction, length=lengths[joint]
        )
    text += ":hierarchy\n  begin\n"
    text += "".join(f"    {names[parent]} {names[child]}\n" for child, parent in layout.bones)
    path.with_suffix(".asf").write_text(text + "  end\n")
    rows = [":FULLY-SPECIFIED", ":DEGREES"]
    for number, frame in enumerate(bodies[0, ..., :3], 1):
        place = " ".join(f"{value:.6f}" for value in frame[layout.center])
        rows += [str(number), f"root {place} 0 0 0"]
        rows += [
            f"{names[joint]} " + " ".join(f"{20 * value:.4f}" for value in frame[joint])
            for joint, _ in layout.bones
        ]
    path.write_text("\n".join(rows) + "\n")


def write_trc(path: Path, bodies: np.ndarray, skeleton: str = "kinect20") -> None:
    """Markers in millimetres, named as joints."""
    names = Skeleton.get(skeleton).joints
    frames = bodies[0, ..., :3] * 1000
    rows = [
        f"PathFileType\t4\t(X/Y/Z)\t{path.name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits",
        f"30.00\t30.00\t{len(frames)}\t{len(names)}\tmm",
        "Frame#\tTime\t" + "\t\t\t".join(names),
        "\t\t" + "\t".join(f"{axis}{n}" for n in range(1, len(names) + 1) for axis in "XYZ"),
    ]
    for number, frame in enumerate(frames, 1):
        values = "\t".join(f"{value:.4f}" for value in frame.ravel())
        rows.append(f"{number}\t{number / 30:.4f}\t{values}")
    path.write_text("\n".join(rows) + "\n")


def write_c3d(path: Path, bodies: np.ndarray, skeleton: str = "kinect20") -> None:
    """Markers in millimetres, z up, named as joints; needs the extra ``formats``."""
    import c3d

    writer = c3d.Writer(point_rate=30.0, point_scale=-1.0)
    writer.set_point_labels(list(Skeleton.get(skeleton).joints))
    writer.set_screen_axis("+X", "+Z")
    for frame in bodies[0, ..., :3] * 1000:
        markers = np.zeros((len(frame), 5), dtype=np.float32)
        markers[:, :3] = frame[:, [0, 2, 1]] * (1, -1, 1)
        writer.add_frames([(markers, np.zeros((0, 1)))])
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there are no analog channels
        writer.write(content)
    path.write_bytes(content.getvalue())


#: Samples by the name of the format. Their layouts are of the file, with the joints of
#: :attr:`SampleFile.skeleton`.
MOTION_SAMPLES: dict[str, SampleFile] = {
    "bvh": SampleFile(
        "bvh", "kinect20", write_bvh, "clip.bvh", options=(("scale", 1.0),), many=False
    ),
    "asf_amc": SampleFile("asf_amc", "cmu31", write_asf_amc, "clip.amc", many=False),
    "c3d": SampleFile("c3d", "kinect20", write_c3d, "clip.c3d", many=False),
    "trc": SampleFile("trc", "kinect20", write_trc, "clip.trc", many=False),
}
