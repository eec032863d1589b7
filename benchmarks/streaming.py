"""Frames a second of a stream, and its memory, with 20 classes of 5 examples.

    python benchmarks/streaming.py
    python benchmarks/streaming.py --memory-frames 100000

The reference is what a camera delivers, 60 frames a second. One encoder treats every frame on its
own, so that each frame is embedded once; the other is the one that comes with the package. Memory
is that of NumPy arrays and Python objects, as tracemalloc counts it, after one tenth of the frames
and at the end.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc

import numpy as np
import torch

from pyg_fsar import FewShotClassifier, FewShotModel
from pyg_fsar.classifier import ActionStream
from pyg_fsar.datasets import FakeSkeletonDataset
from pyg_fsar.matching import build_matcher
from pyg_fsar.training import format_table
from pyg_fsar.transforms import CenterOnJoint

CAMERA = 60
PARTS = 10  # of the frames, of whose rates the median counts
N_WAY, K_SHOT = 20, 5


def classifiers() -> dict[str, FewShotClassifier]:
    data = FakeSkeletonDataset("kinect20", 2 * N_WAY, K_SHOT)  # half are for training
    clips, labels = data.gather(range(len(data))), data.labels
    identity = FewShotModel(torch.nn.Identity(), build_matcher("dtw", shots="nearest"))
    framewise = FewShotClassifier(identity, "kinect20", CenterOnJoint(mode="frame"))
    return {
        "frames embedded once": framewise.fit(clips, labels),
        "shipped encoder": FewShotClassifier(skeleton="kinect20").fit(clips, labels),
    }


def recording() -> np.ndarray:
    """Clips of other people one after the other, ``[T, V, 3]``: the stream is never at rest."""
    data = FakeSkeletonDataset("kinect20", 2 * N_WAY, 2, seed=1)
    return np.concatenate([data[number].bodies[0].numpy() for number in range(len(data))])


def push(stream: ActionStream, frames: np.ndarray, count: int) -> int:
    """Push frames over and over; how many actions were reported."""
    return sum(stream.push(frames[n % len(frames)]) is not None for n in range(count))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=2000, help="frames to time")
    parser.add_argument("--memory-frames", type=int, default=0, help="frames to count memory over")
    args = parser.parse_args()
    torch.set_num_threads(1)
    frames, rows = recording(), []
    for name, classifier in classifiers().items():
        stream = classifier.stream()
        push(stream, frames, 100)
        rates, found = [], 0
        for _ in range(PARTS):
            start = time.process_time()
            found += push(stream, frames, args.frames // PARTS)
            rates.append(args.frames // PARTS / (time.process_time() - start))
        rate = statistics.median(rates)
        row = {
            "encoder": name,
            "frames a second": f"{rate:.0f}",
            "slowest to fastest part": f"{min(rates):.0f} to {max(rates):.0f}",
            f"times {CAMERA} a second": f"{rate / CAMERA:.1f}",
            "actions reported": found,
        }
        if args.memory_frames:
            stream.reset()
            tracemalloc.start()
            sizes = []
            for count in (args.memory_frames // 10, args.memory_frames * 9 // 10):
                push(stream, frames, count)
                sizes.append(tracemalloc.get_traced_memory()[0] / 2**20)
            tracemalloc.stop()
            row["MiB after a tenth"], row["MiB at the end"] = (f"{size:.2f}" for size in sizes)
        rows.append(row)
    print(format_table(rows))


if __name__ == "__main__":
    main()
