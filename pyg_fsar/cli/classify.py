"""``pyg-fsar classify``: name clips by a few examples of each class."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from pyg_fsar.cli.command import Command
from pyg_fsar.cli.folders import add_folder_arguments, mapped, read_clips
from pyg_fsar.cli.models import (
    EXAMPLES,
    add_model_argument,
    add_unknown_argument,
    layout_of,
    open_classifier,
)

__all__ = ["CLASSIFY"]


def _add_arguments(parser: ArgumentParser) -> None:
    add_folder_arguments(parser, "examples", EXAMPLES)
    parser.add_argument(
        "clips", type=Path, nargs="+", help="files, folders of frames, or folders of clips to name"
    )
    parser.add_argument("--top", type=int, default=3, help="classes to list for each clip")
    add_unknown_argument(parser)
    parser.add_argument("--save", type=Path, help="folder to save the fitted classifier in")
    add_model_argument(parser)


def _run(options: Namespace) -> list[dict[str, Any]]:
    if options.top < 1:
        raise ValueError(f"--top must be at least 1, got {options.top}")
    clips = read_clips(options.clips, options.people)
    classifier, _ = open_classifier(options)
    queries = mapped(clips, options, layout_of(classifier.transform))
    labels, probabilities = classifier.predict(queries), classifier.predict_proba(queries)
    if options.save is not None:
        classifier.save(options.save)
    names = classifier.classes_.tolist()
    rows = []
    for path, label, row in zip(clips, labels.tolist(), probabilities.tolist(), strict=True):
        order = sorted(range(len(names)), key=lambda n: -row[n])
        rows.append({
            "clip": str(path),
            "label": label,
            # The unknown label has none.
            "probability": round(row[names.index(label)], 4) if label in names else None,
            "probabilities": {names[n]: round(row[n], 4) for n in order[: options.top]},
        })  # fmt: skip
    return rows


CLASSIFY = Command(
    "Name clips by a few examples of each class.",
    (
        "pyg-fsar classify my_clips/ new/01.bvh",
        "pyg-fsar classify my_clips/ new/ --unknown other",
        "pyg-fsar classify my_clips/ new/*.bvh --top 1 --save runs/names --json",
        "pyg-fsar classify runs/names new/",
    ),
    _add_arguments,
    _run,
)
