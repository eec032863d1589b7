"""A model and the preparation of its clips in one folder.

A model is of use only with the preparation of clips that it was trained with, so the folder holds
both, and ``preparation.json`` has the checksums of all.
"""

from __future__ import annotations

from pathlib import Path

from torch_geometric.transforms import BaseTransform

from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.saving import (
    decode,
    encode,
    is_whole,
    pack_manifest,
    read_manifest,
    read_snapshot,
    write_files,
)

__all__ = ["PREPARATION", "load_model", "save_model"]

#: Name of the file in a folder of a model that has the preparation of its clips.
PREPARATION = "preparation.json"
MODEL = ("config.json", "model.safetensors")


def save_model(folder: str | Path, model: FewShotModel, transform: BaseTransform) -> None:
    """Write a model and the preparation of its clips; all of it takes effect at once.

    Args:
        folder: Where to; made if it is missing.
        model: The model.
        transform: The preparation, kept as names and options of transforms of this package.

    Raises:
        ValueError: If the transform is or holds another one, which cannot be kept.

    Example:
        >>> save_model("mine", *load_pretrained())
        >>> model, transform = load_model("mine")
    """
    stored = encode(transform)
    if not is_whole(stored):
        raise ValueError(
            f"{transform!r:.200} cannot be saved; use transforms of this package and Compose, or "
            "make your own pyg_fsar.saving.saveable"
        )
    files = model.pretrained_files()
    content = pack_manifest({"transform": stored}, files)
    write_files(Path(folder), {**files, PREPARATION: content})


def load_model(folder: str | Path) -> tuple[FewShotModel, BaseTransform]:
    """The model of a folder, in evaluation mode, and the preparation of its clips.

    Args:
        folder: What :func:`save_model`, ``pyg-fsar train`` or ``examples/pretrain.py`` wrote.

    Raises:
        FileNotFoundError: If it holds no such model.
        ValueError: If a file in the folder is damaged, or the files are of several saves.
    """
    folder = Path(folder)
    try:
        snapshot = read_snapshot(folder, PREPARATION, MODEL)
    except (FileNotFoundError, NotADirectoryError) as error:
        nested = folder / "model" / PREPARATION
        cure = f"give {nested.parent}" if nested.is_file() else "give one that it made"
        raise FileNotFoundError(
            f"{folder} is no folder of a model by `pyg-fsar train`: it has no "
            f"{Path(error.filename).name}; {cure}"
        ) from error
    path = folder / PREPARATION
    content, whole = read_manifest(snapshot.files[PREPARATION], path)
    if not whole or snapshot.damaged or "transform" not in content:
        raise ValueError(
            f"{folder / (snapshot.damaged or PREPARATION)} is damaged, or of another run than the "
            "files beside it; copy or train the model again"
        )
    transform = decode(content["transform"], f"the transform in {path}")
    try:
        return FewShotModel.from_pretrained(snapshot), transform
    except RuntimeError as error:  # weights that do not fit
        raise ValueError(str(error)) from error
