"""Time and memory of a classifier of many classes with 5 examples each, and what lower bounds save.

.. code-block:: console

   $ python benchmarks/many_classes.py --classes 10 100 1000

Classes are generated motions. Queries, of which every second is of a class without examples, are
named with and without lower bounds in turn, and the labels compared. Memory is what the process has
at most, each number of classes in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
import torch

from pyg_fsar import FewShotClassifier, load_pretrained
from pyg_fsar.datasets import FakeSkeletonDataset
from pyg_fsar.training import format_table

SHOTS = 5


def measure(num_classes: int, num_queries: int, unknown: bool) -> dict[str, object]:
    torch.set_num_threads(1)
    half = num_queries // 2
    data = FakeSkeletonDataset(
        "body15", num_classes=num_classes + half, clips_per_class=SHOTS + 1, num_frames=(30, 40),
        split="all",
    )  # fmt: skip
    model, transform = load_pretrained()
    labels = data.labels.numpy()
    of_class = np.argsort(labels, kind="stable").reshape(num_classes + half, SHOTS + 1)
    examples = of_class[:num_classes, :SHOTS].ravel()
    known = np.linspace(0, num_classes - 1, num_queries - half).astype(int)
    queries = of_class[[*known, *range(num_classes, num_classes + half)], SHOTS]
    clips, asked = ([transform(data[int(n)]) for n in numbers] for numbers in (examples, queries))
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    options = {"unknown": -1} if unknown else {}
    classifier = FewShotClassifier(model, **options)
    start = time.process_time()
    classifier.fit(clips, labels[examples])
    fit = time.process_time() - start
    seconds, found = {}, {}
    with torch.inference_mode():
        start = time.process_time()
        found["pruned"] = classifier.predict(asked)
        seconds["pruned"] = (time.process_time() - start) / len(asked)
        start = time.process_time()
        distances = classifier.distances(asked)
        seconds["all"] = (time.process_time() - start) / len(asked)
    limits = classifier.thresholds_ if unknown else np.inf
    near = np.where(distances <= limits, distances, np.inf)
    expected = np.where(np.isinf(near).all(axis=1), -1, classifier.classes_[near.argmin(axis=1)])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "classes": num_classes,
        "examples": len(examples),
        "fit (s)": round(fit, 2),
        "all (ms a query)": round(1e3 * seconds["all"], 1),
        "pruned (ms a query)": round(1e3 * seconds["pruned"], 1),
        "times as fast": round(seconds["all"] / seconds["pruned"], 1),
        "labels that differ": int((found["pruned"] != expected).sum()),
        "queries": len(asked),
        "memory above the clips (MB)": round((peak - base) / 1024),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--unknown", action="store_true", help="with a label for unknown clips")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        print(json.dumps(measure(args.one, args.queries, args.unknown)))
        return
    rows = []
    for number in args.classes:
        line = [sys.executable, __file__, "--one", str(number), "--queries", str(args.queries)]
        line += ["--unknown"] if args.unknown else []
        done = subprocess.run(line, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout))
        print(rows[-1], file=sys.stderr)
    print(format_table(rows))


if __name__ == "__main__":
    main()
