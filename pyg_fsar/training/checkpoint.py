"""Checkpoints that survive being interrupted while they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

__all__ = ["load_checkpoint", "save_checkpoint"]


def save_checkpoint(fabric: Fabric, path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint beside its final place and then move it there.

    Args:
        fabric: Unwraps models and optimizers and writes on one rank.
        path: Final place; a file there is replaced only by a whole one.
        state: Models, optimizers, anything with ``state_dict``, and plain values.
    """
    unfinished = path.with_name(path.name + ".part")
    fabric.save(unfinished, state)
    if fabric.is_global_zero:
        unfinished.replace(path)
    fabric.barrier()


def load_checkpoint(fabric: Fabric, path: Path, state: dict[str, Any]) -> dict[str, Any]:
    """Load a checkpoint into the objects of ``state``; what else the file holds is returned.

    Only tensors and plain containers are unpickled, so a foreign checkpoint cannot run code.

    Args:
        fabric: Maps tensors to the device.
        path: A file that :func:`save_checkpoint` wrote.
        state: Objects to restore, under the names they were saved by.

    Raises:
        FileNotFoundError: If there is no such file.
        RuntimeError: If the file is damaged or belongs to another model.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; train first, or name another folder")
    try:
        return fabric.load(path, state, weights_only=True)
    except Exception as error:
        raise RuntimeError(
            f"cannot restore {path}: {error}\nThe file is damaged or was written by a run with "
            "other options; give the options of that run, or start anew in another folder"
        ) from error
