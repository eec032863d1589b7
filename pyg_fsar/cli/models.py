"""Models as the subcommands take them from the command line and leave them in folders.

A model is of use only with the preparation of clips that it was trained with, so a folder holds
both, and ``preparation.json`` has the checksums of all.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch_geometric.transforms import BaseTransform, Compose

from pyg_fsar.classifier import FewShotClassifier
from pyg_fsar.cli.folders import open_folder
from pyg_fsar.datasets import SkeletonFolder
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.saving import (
    decode,
    encode,
    pack_manifest,
    read_manifest,
    read_snapshot,
    write_files,
)
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.transforms import MapJoints
from pyg_fsar.weights import PRETRAINED, load_pretrained

__all__ = [
    "CLASSIFIER",
    "PREPARATION",
    "add_model_argument",
    "fitted_classifier",
    "layout_of",
    "load_model",
    "save_model",
    "saved_classifier",
]

PREPARATION = "preparation.json"
# What tells a folder of FewShotClassifier.save.
CLASSIFIER = "classifier.json"
MODEL = ("config.json", "model.safetensors")


def add_model_argument(parser: ArgumentParser) -> None:
    """Add ``--model``, a name or a folder."""
    parser.add_argument(
        "--model",
        help=f"{', '.join(PRETRAINED)}, or a folder that `pyg-fsar train` made (default: body15)",
    )


def save_model(folder: Path, model: FewShotModel, transform: BaseTransform) -> None:
    """Write a model and the preparation of its clips; all of it takes effect at once.

    Args:
        folder: Where to; made if it is missing.
        model: The model.
        transform: The preparation, of transforms that can be saved as data.
    """
    files = model.pretrained_files()
    content = pack_manifest({"transform": encode(transform)}, files)
    write_files(folder, {**files, PREPARATION: content})


def load_model(name: str | Path | None) -> tuple[FewShotModel, BaseTransform]:
    """A model that comes with the package, or that of a folder, and its preparation of clips.

    Args:
        name: Name or folder; by default that of :func:`~pyg_fsar.load_pretrained`.

    Raises:
        FileNotFoundError: If it is neither.
        ValueError: If a file in the folder is damaged, or it was not written by ``train``.
    """
    if name is None:
        return load_pretrained()
    if str(name) in PRETRAINED:
        return load_pretrained(str(name))
    folder = Path(name)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no model '{name}'; give {', '.join(PRETRAINED)}, or a folder that "
            "`pyg-fsar train` made"
        )
    try:
        snapshot = read_snapshot(folder, PREPARATION, MODEL)
    except FileNotFoundError as error:
        nested = folder / "model" / PREPARATION
        cure = f"give {nested.parent}" if nested.is_file() else "give one that it made"
        raise FileNotFoundError(
            f"{folder} is no folder of a model by `pyg-fsar train`: it has no "
            f"{Path(error.filename).name}; {cure}"
        ) from error
    path = folder / PREPARATION
    content, is_whole = read_manifest(snapshot.files[PREPARATION], path)
    if not is_whole or snapshot.damaged or "transform" not in content:
        raise ValueError(
            f"{folder / (snapshot.damaged or PREPARATION)} is damaged, or of another run than the "
            "files beside it; copy or train the model again"
        )
    transform = decode(content["transform"], f"the transform in {path}")
    try:
        return FewShotModel.from_pretrained(snapshot), transform
    except RuntimeError as error:  # weights that do not fit
        raise ValueError(str(error)) from error


def layout_of(transform: Callable[..., Any] | None) -> Skeleton:
    """The layout that a preparation takes clips to: to read a folder in it keeps every joint that
    the model sees.
    """
    steps = transform.transforms if isinstance(transform, Compose) else [transform]
    targets = [step.target for step in steps if isinstance(step, MapJoints)]
    return Skeleton.get(targets[0] if targets else "body15")


def fitted_classifier(
    root: Path, options: Namespace, unknown: str | None = None
) -> tuple[FewShotClassifier, SkeletonFolder]:
    """A classifier that knows the classes of a folder, and the clips there."""
    model, transform = load_model(options.model)
    examples = open_folder(root, options, layout_of(transform))
    labels = [examples.class_names[int(label)] for label in examples.labels]
    if lost := sorted(set(examples.class_names) - set(labels)):
        raise ValueError(
            f"no clip of class {lost[0]} in {root} can be used ({examples.skipped[0][1]:.200}); "
            "mend it, or take the class out of the folder"
        )
    classifier = FewShotClassifier(model, transform=transform, unknown=unknown)
    return classifier.fit(examples, labels), examples


def saved_classifier(folder: Path, options: Namespace) -> FewShotClassifier | None:
    """The classifier of a folder that ``classify --save`` made, if it is one."""
    if not (folder / CLASSIFIER).is_file():
        return None
    if options.model is not None:
        raise ValueError(f"{folder} is a classifier and has its own model; leave out --model")
    try:
        return FewShotClassifier.load(folder)
    except RuntimeError as error:  # weights that do not fit
        raise ValueError(str(error)) from error
