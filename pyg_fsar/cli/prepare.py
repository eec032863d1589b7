"""``pyg-fsar prepare``: read a folder of clips into a store."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from pyg_fsar.cli.command import Command
from pyg_fsar.datasets import SkeletonFolder

__all__ = ["PREPARE"]


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("root", type=Path, help="folder with one subfolder per class")
    parser.add_argument(
        "--skeleton", default="body15", help="layout to take all clips to (default: body15)"
    )
    parser.add_argument("--people", type=int, default=1, help="bodies to keep of each clip")
    parser.add_argument("--split", help="subfolder in which the classes are, such as train")
    parser.add_argument("--out", type=Path, help="folder of the store (default: ROOT/processed)")
    parser.add_argument("--workers", type=int, help="processes that read (default: one a core)")
    parser.add_argument("--force", action="store_true", help="make the store anew")


def _run(options: Namespace) -> dict[str, Any]:
    start = time.perf_counter()
    clips = SkeletonFolder(
        options.root,
        skeleton=options.skeleton,
        split=options.split,
        people=options.people,
        processed_dir=options.out,
        num_workers=options.workers,
        force_reload=options.force,
    )
    return {
        "store": str(clips.processed_dir),
        "clips": len(clips),
        "classes": len(clips.class_names),
        "seconds": round(time.perf_counter() - start, 1),
        "skipped": [list(entry) for entry in clips.skipped],
    }


PREPARE = Command(
    "Read a folder of clips into a store; an interrupted run goes on where it stopped.",
    ("pyg-fsar prepare my_clips/", "pyg-fsar prepare my_clips/ --skeleton coco17 --workers 2"),
    _add_arguments,
    _run,
)
