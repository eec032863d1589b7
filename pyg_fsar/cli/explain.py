"""``pyg-fsar explain``: why a clip gets its name."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from pyg_fsar.cli.clips import add_model_argument, fitted_classifier, read
from pyg_fsar.cli.command import Command
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.transforms import MapJoints

__all__ = ["EXPLAIN"]


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("examples", type=Path, help="folder with one subfolder per class")
    parser.add_argument("clip", type=Path, help="file to explain")
    parser.add_argument("--label", help="explain this class instead of the most probable one")
    parser.add_argument("--picture", type=Path, help="draw the alignment into this PNG file")
    add_model_argument(parser)


def _run(options: Namespace) -> dict[str, Any]:
    classifier, examples = fitted_classifier(options.examples, options.model)
    clip = read(options.clip)
    why = classifier.explain(clip, options.label)
    joints = Skeleton.get(classifier.skeleton_).joints
    evidence = dict(zip(joints, map(float, why.joint_evidence), strict=True))
    strongest = sorted(evidence, key=lambda name: -abs(evidence[name]))
    if options.picture is not None:
        from pyg_fsar.visualization import plot_alignment

        body = MapJoints(examples.skeleton)(clip)
        figure = plot_alignment(
            why.alignment.cost, why.alignment.weights, body, examples[why.support]
        )
        figure.savefig(options.picture, dpi=150, bbox_inches="tight")
    return {
        "label": why.label,
        "probabilities": {
            str(name): float(p)
            for name, p in zip(classifier.classes_, why.probabilities, strict=True)
        },
        "nearest example": examples.names[why.support],
        "distance": float(why.alignment.distance),
        "evidence of joints": {name: evidence[name] for name in strongest},
    }


EXPLAIN = Command(
    "Tell which example a clip resembles, and which joints count.",
    ("pyg-fsar explain my_clips/ new/recording.bvh --picture why.png",),
    _add_arguments,
    _run,
)
