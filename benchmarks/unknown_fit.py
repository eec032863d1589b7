"""Fitting a classifier that tells unknown clips, beside one that does not.

.. code-block:: console

   $ python benchmarks/unknown_fit.py
   $ python benchmarks/unknown_fit.py --utd DIR

Thresholds are calibrated by distances of pairs, many of which are computed at once, and by a call
of the matcher for every example; their largest difference is printed, too. Examples are generated
motions, or 400 clips of UTD-MHAD. It is processor time of one thread, with the model that comes
with the package and its preparation of clips.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from unittest.mock import patch

import numpy as np
from _timing import compare, print_table

from pyg_fsar import FewShotClassifier
from pyg_fsar.classifier.own_class import PairwiseOwnClass
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.datasets import UTDMHAD, FakeSkeletonDataset

CLASSES_AND_SHOTS = ((1, 50), (5, 8), (20, 20), (400, 1))


def measure(clips: Sequence[SkeletonSequence], labels: Sequence[int], repeats: int) -> None:
    plain, careful = FewShotClassifier(), FewShotClassifier(unknown=-1)
    thresholds = {}

    def fit_by_calls() -> None:
        with patch.object(PairwiseOwnClass, "suits", lambda matcher: False):
            thresholds["calls"] = careful.fit(clips, labels).thresholds_

    def fit() -> None:
        thresholds["pairs"] = careful.fit(clips, labels).thresholds_

    candidates = {
        "unknown=, a call for each": fit_by_calls,
        "unknown=": fit,
        "without": lambda: plain.fit(clips, labels),
    }
    medians = compare(candidates, repeats, clock=time.process_time)
    print_table(medians, "unknown=, a call for each")
    difference = np.abs(thresholds["pairs"] / thresholds["calls"] - 1).max()
    print(f"largest relative difference of a threshold: {difference:.1g}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--utd", help="folder of UTD-MHAD, in place of generated motions")
    parser.add_argument("--processed", help="folder of the store")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    if args.utd:
        data = UTDMHAD(args.utd, "all", processed_dir=args.processed)
        chosen = np.random.default_rng(0).permutation(len(data))[:400]
        print(f"UTD-MHAD, {len(chosen)} examples")
        measure(data.gather(chosen.tolist()), data.labels.numpy()[chosen], args.repeats)
        return
    for num_classes, shots in CLASSES_AND_SHOTS:
        data = FakeSkeletonDataset(
            "body15", num_classes=num_classes, clips_per_class=shots, split="all"
        )
        print(f"generated, classes: {num_classes}, examples of each: {shots}")
        measure(data.gather(range(len(data))), data.labels.numpy(), args.repeats)


if __name__ == "__main__":
    main()
