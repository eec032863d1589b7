"""``pyg-fsar explain``: why a clip gets its name."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from pyg_fsar.cli.command import Command
from pyg_fsar.cli.folders import add_folder_arguments, mapped, open_folder, read_clips
from pyg_fsar.cli.models import (
    EXAMPLES,
    add_model_argument,
    add_unknown_argument,
    layout_of,
    open_classifier,
)
from pyg_fsar.skeleton import Skeleton

__all__ = ["EXPLAIN"]


def _add_arguments(parser: ArgumentParser) -> None:
    add_folder_arguments(parser, "examples", EXAMPLES)
    parser.add_argument("clip", type=Path, help="file, or folder of frames, to explain")
    parser.add_argument("--label", help="explain this class instead of the most probable one")
    parser.add_argument("--picture", type=Path, help="draw the alignment into this PNG file")
    parser.add_argument("--html", type=Path, help="show all of it in this HTML file, for a browser")
    add_unknown_argument(parser)
    parser.add_argument(
        "--example-clips", type=Path, metavar="FOLDER",
        help="clips that a saved classifier was fitted with, which it needs to draw or name them",
    )  # fmt: skip
    add_model_argument(parser)


def _run(options: Namespace) -> dict[str, Any]:
    clips = read_clips([options.clip], options.people)
    if len(clips) > 1:
        raise ValueError(
            f"{options.clip} holds {len(clips)} clips; give one, as {next(iter(clips))}"
        )
    classifier, examples = open_classifier(options)
    layout = layout_of(classifier.transform)
    if options.example_clips is not None:
        if examples is not None:
            raise ValueError(
                f"{options.examples} is no saved classifier and has the clips of its examples; "
                "leave out --example-clips"
            )
        examples = open_folder(options.example_clips, options, layout)
    (clip,) = mapped(clips, options, layout)
    if options.html is None:
        why = classifier.explain(clip, options.label)
    else:
        why = classifier.report(clip, options.html, options.label, examples)
    example = None
    if examples is not None or options.picture is not None:
        example = classifier.example(why.support, examples)
    joints = Skeleton.get(classifier.skeleton_).joints
    evidence = dict(zip(joints, map(float, why.joint_evidence), strict=True))
    strongest = sorted(evidence, key=lambda name: -abs(evidence[name]))
    if options.picture is not None:
        from pyg_fsar.visualization import plot_alignment

        figure = plot_alignment(why.alignment.cost, why.alignment.weights, clip, example)
        options.picture.parent.mkdir(parents=True, exist_ok=True)
        # By its ending; without one matplotlib would write beside the name that was given.
        kind = options.picture.suffix[1:] or "png"
        figure.savefig(options.picture, format=kind, dpi=150, bbox_inches="tight")
    names = classifier.classes_.tolist()
    number = names.index(why.label)
    result = {
        "label": why.label,
        "prediction": why.prediction,
        "probabilities": dict(zip(names, map(float, why.probabilities), strict=True)),
        "nearest_example": None if examples is None else examples.names[why.support],
        "distance": float(classifier.distances([clip])[0, number]),
    }
    if classifier.unknown is not None:
        result["threshold"] = float(classifier.thresholds_[number])
    return result | {"evidence_of_joints": {name: evidence[name] for name in strongest}}


EXPLAIN = Command(
    "Tell which example a clip resembles, and which joints count.",
    (
        "pyg-fsar explain my_clips/ new/01.bvh --picture why.png",
        "pyg-fsar explain my_clips/ new/01.bvh --unknown other --html why.html",
    ),
    _add_arguments,
    _run,
)
