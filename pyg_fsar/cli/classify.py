"""``pyg-fsar classify``: name clips by a few examples of each class."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from pyg_fsar.cli.clips import add_model_argument, fitted_classifier, read
from pyg_fsar.cli.command import Command

__all__ = ["CLASSIFY"]


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("examples", type=Path, help="folder with one subfolder per class")
    parser.add_argument("clips", type=Path, nargs="+", help="files to name")
    parser.add_argument("--top", type=int, default=3, help="classes to list for each clip")
    parser.add_argument("--save", type=Path, help="folder to save the fitted classifier in")
    add_model_argument(parser)


def _run(options: Namespace) -> list[dict[str, Any]]:
    if options.top < 1:
        raise ValueError(f"--top must be at least 1, got {options.top}")
    classifier, _ = fitted_classifier(options.examples, options.model)
    probabilities = classifier.predict_proba([read(path) for path in options.clips])
    if options.save is not None:
        classifier.save(options.save)
    rows = []
    for path, row in zip(options.clips, probabilities, strict=True):
        order = row.argsort()[::-1][: options.top]
        runners_up = [f"{classifier.classes_[n]} {row[n]:.3f}" for n in order[1:]]
        rows.append({
            "clip": str(path),
            "label": str(classifier.classes_[order[0]]),
            "probability": round(float(row[order[0]]), 3),
            "then": ", ".join(runners_up),
        })  # fmt: skip
    return rows


CLASSIFY = Command(
    "Name clips by a few examples of each class.",
    (
        "pyg-fsar classify my_clips/ new/recording.bvh",
        "pyg-fsar classify my_clips/ new/*.json --json --top 1",
    ),
    _add_arguments,
    _run,
)
