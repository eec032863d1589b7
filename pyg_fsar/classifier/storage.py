"""A fitted classifier as a folder, nothing in which can run code when it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load, save

from pyg_fsar.classifier.unknown import check_unknown
from pyg_fsar.data import EmbeddedClips
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.saving import decode, pack_manifest, read_manifest, read_snapshot, write_files
from pyg_fsar.skeleton import Skeleton

__all__ = ["CLASSIFIER", "read_folder", "write_folder"]

CLASSIFIER, SUPPORT = "classifier.json", "support.safetensors"
# Beside those two, what save_pretrained writes.
MODEL = ("config.json", "model.safetensors")
FILES = {CLASSIFIER, SUPPORT, *MODEL}
REQUIRED = {
    *("classes", "dtype", "skeleton", "arrays", "transform", "preparation", "batch_size"),
    *("unknown", "false_alarms", "thresholds", "copies"),
}


def write_folder(
    folder: Path, model: FewShotModel, support: EmbeddedClips, config: dict[str, Any]
) -> None:
    """Write a folder, which takes the place of an earlier one when it is whole.

    Args:
        folder: A folder that is new, or empty, or was written by this.
        model: The model.
        support: The support.
        config: Classes (numbers or texts), skeleton, and whatever else JSON can hold.

    Raises:
        FileExistsError: If the folder holds other files.
    """
    folder = folder.resolve()
    there = {file.name.removesuffix(".part") for file in folder.glob("*")}
    if others := sorted(there - FILES):
        raise FileExistsError(
            f"{folder} holds {others[0]}, which is no part of a classifier; give another folder"
        )
    classes = config["classes"]
    stored = config | {
        "classes": classes.tolist(),
        "dtype": classes.dtype.str,
        "skeleton": config["skeleton"].__getstate__(),
    }
    tensors = {key: value for key, value in vars(support).items() if value is not None}
    files = {SUPPORT: save(tensors), **model.pretrained_files()}
    write_files(folder, {**files, CLASSIFIER: pack_manifest(stored, files)})


def read_folder(folder: Path) -> tuple[dict[str, Any], EmbeddedClips]:
    """What :func:`write_folder` wrote; classes and skeleton as they were.

    The configuration holds under ``"model"`` the files that the model is made of, read in the same
    moment, for :meth:`~pyg_fsar.nn.PretrainedModule.from_pretrained`.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is damaged, of another save or version, or the support is not finite.
    """
    try:
        snapshot = read_snapshot(folder, CLASSIFIER, (SUPPORT, *MODEL))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(
            f"no file {error.filename}; give a folder that FewShotClassifier.save wrote"
        ) from error
    path = folder / CLASSIFIER
    what, cure = "a damaged classifier", "copy or save it again"
    try:
        stored, is_whole = read_manifest(snapshot.files[CLASSIFIER], path)
        if not is_whole or snapshot.damaged:
            raise ValueError(f"the checksum of {snapshot.damaged or CLASSIFIER} differs")
        if missing := REQUIRED - stored.keys():
            if "classes" in stored:  # as in every version
                what = "a classifier of another version of pyg_fsar"
                cure = "fit and save it with this one"
            raise ValueError(f"{CLASSIFIER} lacks {', '.join(sorted(missing))}")
        if not isinstance(stored["batch_size"], int):
            raise TypeError("batch_size is no whole number")
        config = {
            **stored,
            "classes": _classes(stored["classes"], stored.pop("dtype")),
            "skeleton": decode({"$skeleton": stored["skeleton"]}, f"the skeleton in {CLASSIFIER}"),
            "model": snapshot,
        }
        support = EmbeddedClips(**load(snapshot.files[SUPPORT]))
        check_unknown(stored["unknown"], stored["false_alarms"])
        config["copies"] = np.array(stored["copies"], dtype=float)  # None becomes NaN
        if config["copies"].shape != (len(support),):
            raise ValueError(f"there are {len(support)} examples, but other numbers of copies")
        if stored["unknown"] is not None:
            config["thresholds"] = np.array(stored["thresholds"], dtype=float)
            if config["thresholds"].shape != config["classes"].shape:
                raise ValueError(f"there are {len(config['classes'])} classes, not thresholds")
        for name, value in vars(support).items():
            if value is not None and not value.isfinite().all():
                raise ValueError(f"'{name}' in {SUPPORT} is not finite")
    except Exception as error:  # the reader of tensors raises errors of several kinds
        raise ValueError(f"{folder} holds {what} ({error!r:.240}); {cure}") from error
    skeleton = config["skeleton"]
    if skeleton.name in Skeleton.available() and Skeleton.get(skeleton.name) != skeleton:
        raise ValueError(
            f"the classifier in {folder} has another skeleton '{skeleton.name}' than the one "
            "registered by this name; load it where yours is not registered, or save it again"
        )
    return config, support


def _classes(labels: Any, dtype: Any) -> np.ndarray:
    """Labels ``[N]``, whose type must be one that :func:`write_folder` stores."""
    if not isinstance(labels, list) or not isinstance(dtype, str):
        raise TypeError("classes are no list, or have no type")
    if not all(isinstance(label, str | int | float) for label in labels):
        raise TypeError("a class is no text and no number")
    if np.dtype(dtype).kind not in "biufUO":
        raise TypeError(f"classes of type {dtype}")
    size = max((len(label) for label in labels if isinstance(label, str)), default=1)
    if np.dtype(dtype).itemsize > max(16, 4 * size):
        raise TypeError(f"classes of type {dtype}, which is larger than they are")
    return np.array(labels, dtype=dtype)
