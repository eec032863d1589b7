"""A fitted classifier as a folder, nothing in which can run code when it is loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pyg_fsar.data import EmbeddedClips
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.skeleton import Skeleton

__all__ = ["read_folder", "write_folder"]

CLASSIFIER, SUPPORT = "classifier.json", "support.safetensors"
# Beside those two, what save_pretrained writes.
FILES = {CLASSIFIER, SUPPORT, "config.json", "model.safetensors"}


def write_folder(
    folder: Path, model: FewShotModel, support: EmbeddedClips, config: dict[str, Any]
) -> None:
    """Write a folder, which takes the place of an earlier one when it is whole.

    Args:
        folder: A folder that is new, or empty, or was written by this.
        model: The model.
        support: The support.
        config: Classes (numbers or texts), skeleton, description of the transform, batch size.

    Raises:
        FileExistsError: If the folder holds other files.
    """
    folder = folder.resolve()
    there = {file.name for file in folder.iterdir()} if folder.exists() else set()
    if others := sorted(there - FILES):
        raise FileExistsError(
            f"{folder} holds {others[0]}, which is no part of a classifier; give another folder"
        )
    unfinished, former = (folder.with_name(f".{folder.name}.{end}") for end in ("part", "old"))
    shutil.rmtree(unfinished, ignore_errors=True)
    model.save_pretrained(unfinished)
    classes, skeleton = config["classes"], config["skeleton"]
    stored = config | {
        "classes": classes.tolist(),
        "dtype": classes.dtype.str,
        "skeleton": skeleton.__getstate__(),
    }
    tensors = {key: value for key, value in vars(support).items() if value is not None}
    save_file(tensors, unfinished / SUPPORT)
    (unfinished / CLASSIFIER).write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")
    if folder.exists():
        shutil.rmtree(former, ignore_errors=True)
        folder.rename(former)
    unfinished.rename(folder)
    shutil.rmtree(former, ignore_errors=True)


def read_folder(folder: Path) -> tuple[dict[str, Any], EmbeddedClips]:
    """What :func:`write_folder` wrote, but for the model; classes and skeleton as they were.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is damaged.
    """
    for path in (folder / CLASSIFIER, folder / SUPPORT):
        if not path.is_file():
            raise FileNotFoundError(
                f"no file {path}; give a folder that FewShotClassifier.save wrote"
            )
    try:
        stored = json.loads((folder / CLASSIFIER).read_text(encoding="utf-8"))
        config = {
            "classes": np.array(stored["classes"], dtype=stored["dtype"]),
            "skeleton": Skeleton(**stored["skeleton"]),
            "transform": stored["transform"],
            "batch_size": stored["batch_size"],
        }
        return config, EmbeddedClips(**load_file(folder / SUPPORT))
    except (ValueError, TypeError, KeyError, SafetensorError) as error:
        raise ValueError(
            f"{folder} holds a damaged classifier ({error!r}); copy or save it again"
        ) from error
