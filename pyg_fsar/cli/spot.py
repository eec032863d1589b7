"""``pyg-fsar spot``: find actions in recordings by a few examples of each class."""

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

__all__ = ["SPOT"]


def _add_arguments(parser: ArgumentParser) -> None:
    add_folder_arguments(parser, "examples", EXAMPLES)
    parser.add_argument(
        "recordings", type=Path, nargs="+", help="files, folders of frames, or folders of clips"
    )
    parser.add_argument(
        "--longest", type=int, default=600, help="most frames of an action (default: 600)"
    )
    parser.add_argument(
        "--tolerance", type=float, default=1.0,
        help="how far from the examples an action may be, 1 being as calibrated; less finds less",
    )  # fmt: skip
    add_unknown_argument(parser, ", which are not reported")
    add_model_argument(parser)


def _run(options: Namespace) -> list[dict[str, Any]]:
    recordings = read_clips(options.recordings, options.people)
    classifier, _ = open_classifier(options)
    clips = mapped(recordings, options, layout_of(classifier.transform))
    rows = []
    for path, clip in zip(recordings, clips, strict=True):
        actions = classifier.spot(
            clip, longest=options.longest, people=options.people, tolerance=options.tolerance
        )
        for action in actions:
            rows.append({"recording": str(path), **action._asdict()})
            rows[-1]["probability"] = round(action.probability, 4)
    return rows


SPOT = Command(
    "Find actions in recordings by a few examples of each class.",
    (
        "pyg-fsar spot my_clips/ new/01.bvh",
        "pyg-fsar spot my_clips/ new/ --tolerance 0.8 --json",
    ),
    _add_arguments,
    _run,
)
