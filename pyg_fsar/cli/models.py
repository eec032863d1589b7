"""Models as the subcommands take them from the command line."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch_geometric.transforms import BaseTransform, Compose

from pyg_fsar.classifier import FewShotClassifier
from pyg_fsar.classifier.storage import CLASSIFIER
from pyg_fsar.cli.folders import open_folder
from pyg_fsar.datasets import SkeletonFolder
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.transforms import MapJoints
from pyg_fsar.weights import PRETRAINED, load_pretrained

__all__ = [
    "EXAMPLES",
    "add_model_argument",
    "add_unknown_argument",
    "layout_of",
    "load_chosen",
    "open_classifier",
]

#: Help for what :func:`open_classifier` opens.
EXAMPLES = "folder with one subfolder per class, or one that classify --save made"


def add_model_argument(parser: ArgumentParser) -> None:
    """Add ``--model``, a name or a folder."""
    parser.add_argument(
        "--model",
        help=f"{', '.join(PRETRAINED)}, or a folder that `pyg-fsar train` made (default: body15)",
    )


def add_unknown_argument(parser: ArgumentParser, effect: str = "") -> None:
    """Add ``--unknown``, a label, with what else it does."""
    parser.add_argument(
        "--unknown",
        metavar="LABEL",
        help=f"name of clips that are near to no class{effect} (default: every clip gets a class)",
    )


def load_chosen(options: Namespace) -> tuple[FewShotModel, BaseTransform]:
    """The model of ``--model``, by default that of :func:`~pyg_fsar.load_pretrained`, and its
    preparation of clips; errors as there.
    """
    return load_pretrained() if options.model is None else load_pretrained(options.model)


def layout_of(transform: Callable[..., Any] | None) -> Skeleton:
    """The layout that a preparation takes clips to: to read a folder in it keeps every joint that
    the model sees.
    """
    steps = transform.transforms if isinstance(transform, Compose) else [transform]
    targets = [step.target for step in steps if isinstance(step, MapJoints)]
    return Skeleton.get(targets[0] if targets else "body15")


def open_classifier(options: Namespace) -> tuple[FewShotClassifier, SkeletonFolder | None]:
    """The classifier of ``options.examples``, and the clips it was fitted with.

    That is a folder of clips, to which a classifier is fitted, or one that ``classify --save``
    made, which has no clips.

    Args:
        options: Parsed arguments, with those of :func:`~pyg_fsar.cli.folders.add_folder_arguments`,
            :func:`add_model_argument` and :func:`add_unknown_argument`.

    Raises:
        ValueError: If a saved classifier has another label of unknown clips, or would need another
            model; if its files are damaged, or a class has no clip that can be used.
    """
    folder, unknown = options.examples, options.unknown
    if not (folder / CLASSIFIER).is_file():
        return _fitted(folder, options)
    if options.model is not None:
        raise ValueError(f"{folder} is a classifier and has its own model; leave out --model")
    try:
        classifier = FewShotClassifier.load(folder)
    except RuntimeError as error:  # weights that do not fit
        raise ValueError(str(error)) from error
    if unknown is not None and unknown != classifier.unknown:
        saved = (
            "no unknown label"
            if classifier.unknown is None
            else (f"the unknown label {classifier.unknown!r}")
        )
        raise ValueError(
            f"{folder} was saved with {saved}; leave out --unknown, or give the folder of the "
            "examples"
        )
    return classifier, None


def _fitted(root: Path, options: Namespace) -> tuple[FewShotClassifier, SkeletonFolder]:
    model, transform = load_chosen(options)
    examples = open_folder(root, options, layout_of(transform))
    labels = [examples.class_names[int(label)] for label in examples.labels]
    if lost := sorted(set(examples.class_names) - set(labels)):
        raise ValueError(
            f"no clip of class {lost[0]} in {root} can be used ({examples.skipped[0][1]:.200}); "
            "mend it, or take the class out of the folder"
        )
    classifier = FewShotClassifier(model, transform=transform, unknown=options.unknown)
    return classifier.fit(examples, labels), examples
