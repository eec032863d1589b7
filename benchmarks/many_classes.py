"""Time and memory of a classifier of many classes, and what lower bounds save.

.. code-block:: console

   $ python benchmarks/many_classes.py --classes 10 100 1000
   $ python benchmarks/many_classes.py --classes --utd DIR --kinder-gator DIR

Classes are generated motions with 5 examples each, and every second query is of a class without
examples; or those of a data set, of which all clips but the queries are examples. Queries are named
with and without lower bounds, and the labels compared. Memory is what the process has at most; each
row is measured in a process of its own, in processor time of one thread.
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
from pyg_fsar.datasets import UTDMHAD, FakeSkeletonDataset, KinderGator, SkeletonDataset
from pyg_fsar.training import format_table

SHOTS = 5
Numbers = np.ndarray


def generated(num_classes: int, num_queries: int) -> tuple[SkeletonDataset, Numbers, Numbers]:
    """Motions, and the numbers of the examples and of the queries."""
    half = num_queries // 2
    data = FakeSkeletonDataset(
        "body15", num_classes=num_classes + half, clips_per_class=SHOTS + 1, num_frames=(30, 40),
        split="all",
    )  # fmt: skip
    of_class = np.argsort(data.labels.numpy(), kind="stable").reshape(-1, SHOTS + 1)
    known = np.linspace(0, num_classes - 1, num_queries - half).astype(int)
    queries = of_class[[*known, *range(num_classes, num_classes + half)], SHOTS]
    return data, of_class[:num_classes, :SHOTS].ravel(), queries


def recorded(data: SkeletonDataset, num_queries: int) -> tuple[SkeletonDataset, Numbers, Numbers]:
    """The same of a data set."""
    order = np.random.default_rng(0).permutation(len(data))
    return data, order[num_queries:], order[:num_queries]


def measure(
    data: SkeletonDataset, examples: Numbers, queries: Numbers, unknown: bool
) -> dict[str, object]:
    torch.set_num_threads(1)
    model, transform = load_pretrained()
    labels = data.labels.numpy()
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
        "data": type(data).__name__,
        "classes": len(classifier.classes_),
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
    parser.add_argument("--classes", type=int, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--utd", help="folder of UTD-MHAD")
    parser.add_argument("--kinder-gator", help="folder of Kinder-Gator")
    parser.add_argument("--processed", help="folder of the stores")
    parser.add_argument("--queries", type=int, default=10)
    parser.add_argument("--unknown", action="store_true", help="with a label for unknown clips")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        if args.classes:
            chosen = generated(args.classes[0], args.queries)
        else:
            kind, root = (UTDMHAD, args.utd) if args.utd else (KinderGator, args.kinder_gator)
            chosen = recorded(kind(root, "all", processed_dir=args.processed), args.queries)
        print(json.dumps(measure(*chosen, args.unknown)))
        return
    options = ["--queries", str(args.queries), *(["--unknown"] if args.unknown else [])]
    options += ["--processed", args.processed] if args.processed else []
    sources = [["--classes", str(number)] for number in args.classes]
    for name, root in (("--utd", args.utd), ("--kinder-gator", args.kinder_gator)):
        sources += [["--classes", name, root]] if root else []
    rows = []
    for source in sources:
        line = [sys.executable, __file__, "--one", *options, *source]
        done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
        rows.append(json.loads(done.stdout))
        print(rows[-1], file=sys.stderr)
    print(format_table(rows))


if __name__ == "__main__":
    main()
