"""Checkpoints that survive being interrupted while they are written, and know when damaged."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from pyg_fsar.saving import check_texts

__all__ = ["load_checkpoint", "save_checkpoint"]

# A checkpoint is a zip archive, at whose end there is room for a comment: the checksum of all that
# is before it. The two bytes before a comment are its length, zero where there is none.
DIGEST_SIZE = 16
SIGN = b"pyg_fsar blake2b "
COMMENT = len(SIGN) + 2 * DIGEST_SIZE
END, END_SIZE = b"PK\x05\x06", 22


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
        _sign(unfinished)
        unfinished.replace(path)
    fabric.barrier()


def load_checkpoint(fabric: Fabric, path: Path, state: dict[str, Any]) -> dict[str, Any]:
    """Load a checkpoint into the objects of ``state``; what else the file holds is returned.

    Only tensors and plain containers are unpickled, so a foreign checkpoint cannot run code. The
    file is compared with its checksum first; one of an earlier version has none.

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
    if not _is_whole(path):
        raise RuntimeError(
            f"cannot restore {path}: it is damaged, for its checksum differs; copy it again, or "
            "delete it and start anew"
        )
    try:
        check_texts(path)
        return fabric.load(path, state, weights_only=True)
    except Exception as error:
        raise RuntimeError(
            f"cannot restore {path}: {error!s:.240}\nThe file is damaged or was written by a run "
            "with other options; give the options of that run, or start anew in another folder"
        ) from error


def _sign(path: Path) -> None:
    """Write the checksum of an archive into its comment."""
    with path.open("r+b") as file:
        file.seek(-END_SIZE, os.SEEK_END)
        if not file.read().startswith(END):
            return  # no archive, as a strategy of Fabric may write
        file.seek(-2, os.SEEK_END)
        file.write(COMMENT.to_bytes(2, "little"))
        file.flush()
        digest = _digest(path, path.stat().st_size)
        file.write(SIGN + digest)
        file.flush()
        os.fsync(file.fileno())


def _is_whole(path: Path) -> bool:
    """Whether a file is what its checksum says, or an archive that ends without any comment."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - END_SIZE, 0))
        end = file.read()
        if end.startswith(END) and end.endswith(b"\0\0"):
            return True
        file.seek(max(size - COMMENT, 0))
        comment = file.read()
    return comment == SIGN + _digest(path, max(size - COMMENT, 0))


def _digest(path: Path, count: int) -> bytes:
    """Checksum of the first bytes of a file."""
    total = blake2b(digest_size=DIGEST_SIZE)
    with path.open("rb") as file:
        while count and (part := file.read(min(count, 2**20))):
            total.update(part)
            count -= len(part)
    return total.hexdigest().encode()
