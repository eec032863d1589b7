"""Reading files of ``torch.save`` without running what is in them."""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path
from typing import Any

import torch

__all__ = ["check_texts", "load_tensors"]

# Longest text of such a file, which holds names and options.
MAX_TEXT = 10_000


def load_tensors(path: str | Path) -> Any:
    """Load tensors and plain containers from a file of ``torch.save``, on the CPU.

    Args:
        path: File to read.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, or asks for anything else than tensors and containers.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        check_texts(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what torch meets in a damaged file has many types
        raise ValueError(
            f"{path} cannot be loaded: {' '.join(str(error).split()):.150}\nIt is damaged, or "
            "holds more than tensors and plain containers, which could run code and is refused; "
            "get it again or, if you trust it, load it where it was made and save its state dict"
        ) from error


def check_texts(path: Path) -> None:
    """Refuse a pickle that is damaged or names something by a text longer than names are: torch
    would search its own message about it for a time that grows with the square of the text.

    Raises:
        ValueError: If there is such a text, or the pickle is malformed.
    """
    if not zipfile.is_zipfile(path):  # as before torch 1.6, or as a strategy of Fabric may write
        return
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not name.endswith("data.pkl"):
                continue
            for _, argument, position in pickletools.genops(archive.read(name)):
                if isinstance(argument, str) and len(argument) > MAX_TEXT:
                    raise ValueError(f"a text of {len(argument)} characters at byte {position}")
