"""Reading NTU RGB+D `.skeleton` files: in bulk, beside line by line.

Run with ``python benchmarks/ntu_parsing.py``. The files are generated motions written as the
genuine files are: 60 to 150 frames, one or two bodies, CRLF line ends, twelve numbers per joint.
The reference has the shape of the well-known public readers: every line is split, every number goes
into a dictionary as a float, and an array is filled joint by joint. In bulk must be at least 8
times as fast.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _timing import compare, print_table

from pyg_fsar.datasets import FakeSkeletonDataset, read_ntu_skeleton, write_ntu_skeleton

BODY_KEYS = [
    *("bodyID", "clipedEdges", "handLeftConfidence", "handLeftState", "handRightConfidence"),
    *("handRightState", "isRestricted", "leanX", "leanY", "trackingState"),
]
JOINT_KEYS = [
    *("x", "y", "z", "depthX", "depthY", "colorX", "colorY"),
    *("orientationW", "orientationX", "orientationY", "orientationZ", "trackingState"),
]


def read_line_by_line(path: Path, max_bodies: int = 2) -> np.ndarray:
    frames: list[list[dict[str, Any]]] = []
    with path.open() as file:
        for _ in range(int(file.readline())):
            bodies = []
            for _ in range(int(file.readline())):
                body: dict[str, Any] = dict(
                    zip(BODY_KEYS, map(float, file.readline().split()), strict=True)
                )
                body["joints"] = [
                    {
                        key: float(value)
                        for key, value in zip(JOINT_KEYS, file.readline().split(), strict=True)
                    }
                    for _ in range(int(file.readline()))
                ]
                bodies.append(body)
            frames.append(bodies)
    clip = np.zeros((max(map(len, frames)), len(frames), 25, 3), np.float32)
    for t, bodies in enumerate(frames):
        for m, body in enumerate(bodies):
            for v, joint in enumerate(body["joints"]):
                clip[m, t, v] = joint["x"], joint["y"], joint["z"]
    return clip[np.argsort(-clip.std(axis=1).sum(axis=(1, 2)))[:max_bodies]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    clips = FakeSkeletonDataset(
        num_classes=5, clips_per_class=-(-args.files // 5), num_frames=(60, 150), split="all"
    )
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{number}.skeleton") for number in range(args.files)]
        for file, clip in zip(files, clips, strict=False):
            write_ntu_skeleton(file, clip.bodies)
            bulk, reference = read_ntu_skeleton(file), read_line_by_line(file)
            if not all(any(np.array_equal(body, other) for other in reference) for body in bulk):
                raise RuntimeError(f"the two readers disagree about {clip.name}")
        size = sum(file.stat().st_size for file in files)
        print(f"{args.files} files of {size / args.files / 1e3:.0f} kB on average")
        medians = compare(
            {
                "line by line": lambda: [read_line_by_line(file) for file in files],
                "in bulk": lambda: [read_ntu_skeleton(file) for file in files],
            },
            args.repeats,
        )
    print_table(medians, reference="line by line")
    print(f"in bulk: {args.files / medians['in bulk']:.0f} files/s in one process")


if __name__ == "__main__":
    main()
