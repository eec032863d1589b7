"""Reading NTU RGB+D `.skeleton` files: in bulk, beside line by line.

Run with ``python benchmarks/ntu_parsing.py``. The files are generated motions written as the
genuine files are: 60 to 150 frames, one or two bodies, CRLF line ends, twelve numbers per joint.
The reference has the shape of the well-known public readers: every line is split, every number goes
into a dictionary as a float, and an array is filled joint by joint. In bulk must be at least 8
times as fast.

``--whole 3000`` also makes a store of so many files, copies of the generated ones under names as in
the data set, with two workers, and extrapolates to the 114,000 of NTU RGB+D 120: under 20 minutes
on two cores, a second to open the store, and memory that does not grow with the number of files.

``--open 114480`` makes a store of so many empty files in one folder, each taken for a clip of one
frame, and opens it: every file is looked at, since a changed one must be noticed. That must take
less than a second, and is compared with a bare ``os.scandir`` of the folder with the size and time
of each file, in processor time.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _timing import compare, print_table

from pyg_fsar.datasets import (
    NTURGBD,
    FakeSkeletonDataset,
    RawClip,
    read_ntu_skeleton,
    write_ntu_skeleton,
)

# Files of NTU RGB+D 120.
ALL_CLIPS = 114_480

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


class Reading(NamedTuple):
    """What it took to make a store: processor time counts, since other programs hardly change it.

    Memory is the peak of this process and of the largest worker, less what the program takes.
    """

    clips: int
    seconds: float
    processor_seconds: float
    seconds_to_open: float
    mib: float


def make_store(root: Path, num_workers: int) -> Reading:
    usage = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)

    def processor_seconds() -> float:
        used = [resource.getrusage(who) for who in usage]
        return sum(u.ru_utime + u.ru_stime for u in used)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, processor = time.perf_counter(), processor_seconds()
    clips = NTURGBD(root, split="all", num_workers=num_workers)
    seconds, processor = time.perf_counter() - start, processor_seconds() - processor
    peak = max(resource.getrusage(who).ru_maxrss for who in usage)
    start = time.perf_counter()
    NTURGBD(root, split="all")
    opened = time.perf_counter() - start
    return Reading(len(clips), seconds, processor, opened, (peak - before) / 1024)


def file_name(number: int) -> str:
    """Name of one of many files, all different."""
    setup, rest = divmod(number, 40 * 120)
    performer, action = divmod(rest, 120)
    return f"S{setup + 1:03d}C001P{performer + 1:03d}R001A{action + 1:03d}.skeleton"


class OneFrameNTU(NTURGBD):
    """NTU RGB+D of files whose content does not matter."""

    def read_raw(self, file: str) -> Iterator[RawClip]:
        """A clip of one frame."""
        yield RawClip(file, np.ones((1, 1, 25, 3), np.float32), int(file[17:20]) - 1)


def open_store(count: int, repeats: int) -> None:
    """Open a store of so many loose files."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            Path(folder, file_name(number)).touch()
        OneFrameNTU(folder, split="all", num_workers=0)
        medians = compare(
            {
                "os.scandir": lambda: [entry.stat() for entry in os.scandir(folder)],
                "open a store": lambda: OneFrameNTU(folder, split="all"),
            },
            repeats,
            clock=time.process_time,
        )
    print(f"\n{count} loose files")
    print_table(medians, reference="os.scandir")
    ratio = medians["open a store"] / medians["os.scandir"]
    print(f"open a store: {ratio:.2f} times as long as a bare look at the files")


def read_whole(sources: Sequence[Path], count: int, num_workers: int, folder: Path) -> None:
    """Read so many copies of some files, and a quarter of them, each in a process of its own."""
    root = folder / "ntu"
    rows: list[Reading] = []
    for part in (count // 4, count):
        root.mkdir(exist_ok=True)
        for number in range(part):
            path = root / file_name(number)
            if not path.exists():
                shutil.copy(sources[number % len(sources)], path)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            rows.append(pool.submit(make_store, root, num_workers).result())
        shutil.rmtree(root / "processed")
    size = sum(path.stat().st_size for path in root.iterdir()) / 1e9
    print(f"\n{count} files, {size:.2f} GB, {num_workers} workers")
    for row in rows:
        print(
            f"{row.clips} clips: {row.seconds:.1f} s, {row.processor_seconds:.1f} s of processor "
            f"time, store opened in {row.seconds_to_open:.2f} s, peak memory {row.mib:.0f} MiB "
            "above the program's own"
        )
    minutes = ALL_CLIPS * rows[-1].processor_seconds / rows[-1].clips / 60
    print(f"{ALL_CLIPS} files: {minutes:.1f} minutes of processor time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--whole", type=int, default=0, help="files of a store, such as 3000")
    parser.add_argument("--open", type=int, default=0, help="loose files of a store, as 114480")
    parser.add_argument("--workers", type=int, default=2, help="processes that read them")
    args = parser.parse_args()
    if args.open:
        open_store(args.open, args.repeats)
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
        if args.whole:
            read_whole(files, args.whole, args.workers, Path(folder))
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
