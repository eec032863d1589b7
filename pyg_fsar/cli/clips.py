"""Clips and models as the subcommands take them from the command line."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import torch

from pyg_fsar.classifier import FewShotClassifier
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.datasets import SkeletonFolder
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.formats import read_clip
from pyg_fsar.transforms import MapJoints, clip_transform
from pyg_fsar.weights import PRETRAINED, load_pretrained

__all__ = ["add_model_argument", "examples_of", "fitted_classifier", "model_and_transform", "read"]


def add_model_argument(parser: ArgumentParser) -> None:
    """Add ``--model``, a name or a folder."""
    parser.add_argument(
        "--model",
        default="body15",
        help=f"{', '.join(PRETRAINED)}, or a folder that `pyg-fsar train` made (default: body15)",
    )


def model_and_transform(name: str) -> tuple[FewShotModel, Any]:
    """A model that comes with the package, or one of a folder, and its preparation of clips.

    Raises:
        FileNotFoundError: If it is neither.
    """
    if name in PRETRAINED:
        return load_pretrained(name)
    folder = Path(name)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no model '{name}'; give {', '.join(PRETRAINED)}, or a folder that "
            "`pyg-fsar train` made"
        )
    model = FewShotModel.from_pretrained(folder)
    skeleton = getattr(model.encoder, "skeleton", None)
    steps = clip_transform(30, train=False, motion_only=True)
    if skeleton is not None:
        steps.transforms.insert(0, MapJoints(skeleton))
    return model, steps


def examples_of(root: Path) -> SkeletonFolder:
    """The clips of a folder with one subfolder per class, all in the layout ``body15``."""
    return SkeletonFolder(root, skeleton="body15")


def fitted_classifier(root: Path, model: str) -> tuple[FewShotClassifier, SkeletonFolder]:
    """A classifier that knows the classes of a folder, and the clips of that folder."""
    examples = examples_of(root)
    labels = [examples.class_names[int(label)] for label in examples.labels]
    few_shot, transform = model_and_transform(model)
    classifier = FewShotClassifier(few_shot, transform=transform)
    with torch.no_grad():
        classifier.fit(examples, labels)
    return classifier, examples


def read(path: Path) -> SkeletonSequence:
    """The clip of a file, or of a folder of one file per frame."""
    return read_clip(path)
