"""``pyg-fsar prepare``: read a folder of clips into a store."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from pyg_fsar.cli.command import Command
from pyg_fsar.cli.folders import add_folder_arguments, open_folder

__all__ = ["PREPARE"]


def _add_arguments(parser: ArgumentParser) -> None:
    add_folder_arguments(parser)
    parser.add_argument(
        "--skeleton", default="body15",
        help="layout to take all clips to, that of the model to be used (default: body15)",
    )  # fmt: skip


def _run(options: Namespace) -> dict[str, Any]:
    start = time.perf_counter()
    clips = open_folder(options.root, options, options.skeleton)
    return {
        "store": str(Path(clips.processed_dir, clips.store_name)),
        "clips": len(clips),
        "classes": len(clips.class_names),
        "layout": clips.skeleton.name,
        "seconds": round(time.perf_counter() - start, 1),
        "skipped": [{"file": file, "reason": reason} for file, reason in clips.skipped],
    }


PREPARE = Command(
    "Read a folder of clips into a store; an interrupted run goes on where it stopped.",
    ("pyg-fsar prepare my_clips/", "pyg-fsar prepare my_clips/ --people 2 --workers 2 --force"),
    _add_arguments,
    _run,
)
