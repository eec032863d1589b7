"""Actions found in recordings, beside a sliding window over the same classifier.

    python benchmarks/spotting.py                # generated motions
    python benchmarks/spotting.py --utd data/UTD-MHAD --kinder-gator data/Kinder-Gator

A recording joins clips of one person, who is in none of the examples: actions of five classes,
which are to be found, and clips of other classes. Between clips the pose changes linearly in ten
frames. The window's length and threshold are those with the best sum of scores on recordings of
training classes, on which the constants of the stream were chosen as well; the table is of test
classes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from pyg_fsar import FewShotClassifier, load_pretrained
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.datasets import UTDMHAD, FakeSkeletonDataset, KinderGator, SkeletonDataset
from pyg_fsar.metrics import edit_accuracy, frame_f1, mean_confidence_interval, segment_f1
from pyg_fsar.training import format_table

N_WAY, GAP = 5, 10
SCORES = {"edit accuracy": edit_accuracy, "frame F1": frame_f1, "action F1": segment_f1}
# Of the window: its length in median lengths of examples, and factors of the stream's thresholds.
LENGTHS, TOLERANCES = (0.5, 0.75, 1.0, 1.3), (0.8, 1.0, 1.25, 1.6)
Actions = list[tuple[int, int, Any]]


class Recording(NamedTuple):
    """A recording, a classifier that knows five of its classes, and where these are."""

    clip: SkeletonSequence
    classifier: FewShotClassifier
    length: float  # median length of the examples
    truth: Actions


def make(data: SkeletonDataset, shots: int, rng: np.random.Generator) -> Recording:
    """A recording of a person drawn at random."""
    clips = [data[number] for number in range(len(data))]
    y = np.array([int(clip.y) for clip in clips])
    # Generated clips are each of a person of their own; a fifth of them is in the recording.
    person = np.array([clip.get("subject", n % 5) for n, clip in enumerate(clips)])
    classes = rng.permutation(np.unique(y))[:N_WAY]
    own = person == rng.choice(np.unique(person))
    examples = [
        n for label in classes for n in rng.permutation(np.flatnonzero((y == label) & ~own))[:shots]
    ]
    known = np.isin(y, classes)
    wanted = rng.permutation(np.flatnonzero(own & known))[: 2 * N_WAY]
    others = rng.permutation(np.flatnonzero(own & ~known))[: 2 * N_WAY]
    frames: list[np.ndarray] = []
    truth, count = [], 0
    for n in rng.permutation(np.concatenate([wanted, others])):
        bodies = clips[n].bodies[0].numpy()
        if frames:
            weight = np.linspace(0, 1, GAP + 2)[1:-1, None, None]
            frames.append((1 - weight) * frames[-1][-1] + weight * bodies[0])
            count += GAP
        if known[n]:
            truth.append((count, count + len(bodies) - 1, int(y[n])))
        frames.append(bodies)
        count += len(bodies)
    clip = SkeletonSequence.from_bodies(np.concatenate(frames)[None], skeleton=clips[0].skeleton)
    # The default model was trained on these clips.
    model, transform = load_pretrained("body15-untrained")
    classifier = FewShotClassifier(model, transform=transform).fit(
        [clips[n] for n in examples], y[examples]
    )
    length = float(np.median([clips[n].num_frames for n in examples]))
    return Recording(clip, classifier, length, truth)


def window_distances(recording: Recording, length: int, hop: int) -> np.ndarray:
    """Distances of windows to the classes in units of the stream's thresholds, ``[windows, N]``."""
    x = recording.clip.bodies
    starts = range(0, max(x.size(1) - length, 0) + 1, hop)
    windows = [recording.clip.with_bodies(x[:, start : start + length]) for start in starts]
    thresholds = recording.classifier.stream(recording.clip.skeleton).thresholds
    return recording.classifier.distances(windows) / thresholds


def sliding_window(
    distances: np.ndarray, labels: Sequence[Any], length: int, hop: int, tolerance: float
) -> Actions:
    """Neighbouring windows of one label, each for the frames around its middle, are an action."""
    best = distances.argmin(axis=1)
    found: Actions = []
    for number, label in enumerate(best.tolist()):
        if distances[number, label] >= tolerance:
            continue
        start = number * hop + (length - hop) // 2
        end = start + hop - 1
        if found and found[-1][2] == labels[label] and found[-1][1] == start - 1:
            start = found.pop()[0]
        found.append((start, end, labels[label]))
    return found


def window_actions(
    recording: Recording, lengths: Sequence[float] = LENGTHS
) -> dict[tuple[float, float], Actions]:
    """What sliding windows find, by their length and threshold."""
    results = {}
    for part in lengths:
        length = max(int(part * recording.length), 8)
        hop = max(length // 4, 1)
        distances = window_distances(recording, length, hop)
        for tolerance in TOLERANCES:
            results[part, tolerance] = sliding_window(
                distances, recording.classifier.classes_.tolist(), length, hop, tolerance
            )
    return results


def scores(found: Sequence[Any], truth: Actions) -> list[float]:
    return [100 * score(found, truth) for score in SCORES.values()]


def choose(recordings: Sequence[Recording]) -> tuple[float, float]:
    """Length and threshold of the window that are best for recordings of training classes."""
    totals = dict.fromkeys(product(LENGTHS, TOLERANCES), 0.0)
    for recording in recordings:
        for key, found in window_actions(recording).items():
            totals[key] += sum(scores(found, recording.truth))
    return max(totals, key=totals.__getitem__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--utd", type=Path, help="folder of UTD-MHAD")
    parser.add_argument("--kinder-gator", type=Path, help="folder of Kinder-Gator")
    parser.add_argument("--processed", type=Path, help="folder of the stores")
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 5], help="examples per class")
    parser.add_argument("--recordings", type=int, default=5, help="recordings of each seed")
    parser.add_argument("--chosen", type=int, default=4, help="recordings to choose the window by")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    kinds = {"UTD-MHAD": (UTDMHAD, args.utd), "Kinder-Gator": (KinderGator, args.kinder_gator)}

    def load(split: str) -> dict[str, SkeletonDataset]:
        found = {
            name: kind(root, split, processed_dir=args.processed and args.processed / name)
            for name, (kind, root) in kinds.items()
            if root is not None
        }
        return found or {"generated": FakeSkeletonDataset("kinect20", 10, split=split)}

    train, test = load("train"), load("test")
    rows = []
    for shots in args.shots:
        rng = np.random.default_rng(1000)
        best = choose(
            [make(data, shots, rng) for data in train.values() for _ in range(args.chosen)]
        )
        print(f"{shots} shots: window of {best[0]} example lengths, threshold {best[1]}")
        for name, data in test.items():
            ours, theirs = [], []
            for seed in range(args.seeds):
                rng = np.random.default_rng(seed)
                for _ in range(args.recordings):
                    recording = make(data, shots, rng)
                    ours.append(scores(recording.classifier.spot(recording.clip), recording.truth))
                    theirs.append(
                        scores(window_actions(recording, best[:1])[best], recording.truth)
                    )
            for method, values in (("stream", ours), ("sliding window", theirs)):
                row = {"data": name, "shots": shots, "method": method}
                for score, column in zip(SCORES, np.array(values).T, strict=True):
                    mean, half = mean_confidence_interval(torch.from_numpy(column))
                    row[score] = f"{mean:.1f} ± {half:.1f}"
                rows.append(row)
                print(row, flush=True)
    print(f"\n{args.seeds} seeds, {args.recordings} recordings each\n\n{format_table(rows)}")


if __name__ == "__main__":
    main()
