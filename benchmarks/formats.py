"""How many files of each format are read in a second.

Writes a folder of clips of each format, and reads them with :func:`pyg_fsar.formats.read_clip`, the
format being recognised each time. The files are in the page cache, so this is the time of parsing.
The second number is per second of processor time, which other programs hardly change.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from pyg_fsar.formats import read_clip
from pyg_fsar.testing import SAMPLES, SampleFile, sample_bodies
from pyg_fsar.testing.motion_samples import MOTION_SAMPLES

EVERY_SAMPLE = {**SAMPLES, **MOTION_SAMPLES}


def write_clips(sample: SampleFile, folder: Path, count: int, num_frames: int) -> list[Path]:
    bodies = sample_bodies(sample, num_frames=num_frames)
    paths = []
    for number in range(count):
        path = folder / f"{number}-{sample.name}"
        sample.write(path, bodies)
        paths.append(path)
    return paths


def read_all(paths: list[Path]) -> tuple[int, float]:
    """Number of frames read, and seconds of processor time that it took."""
    start = time.process_time()
    frames = sum(read_clip(path, people=2).num_frames for path in paths)
    return frames, time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=2000, help="number of clips of each format")
    parser.add_argument("--frames", type=int, default=100, help="frames of each clip")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--formats", nargs="*", default=list(EVERY_SAMPLE), help="which samples")
    args = parser.parse_args()
    print(f"{args.clips} clips of {args.frames} frames, {args.workers} processes")
    for name in args.formats:
        with tempfile.TemporaryDirectory() as folder:
            paths = write_clips(EVERY_SAMPLE[name], Path(folder), args.clips, args.frames)
            with ProcessPoolExecutor(args.workers) as pool:
                list(pool.map(read_all, [paths[:1]] * args.workers))  # start the processes
                start = time.perf_counter()
                parts = [paths[n :: 4 * args.workers] for n in range(4 * args.workers)]
                done = list(pool.map(read_all, parts))
                seconds = time.perf_counter() - start
        assert sum(frames for frames, _ in done) == args.clips * args.frames
        processor = sum(seconds for _, seconds in done)
        print(
            f"{name:17} {args.clips / seconds:6.0f}/s {args.clips / processor:6.0f}/processor s",
            flush=True,
        )


if __name__ == "__main__":
    main()
