"""``pyg-fsar reproduce``: the tables and figures of the paper."""

from __future__ import annotations

from pyg_fsar.cli.command import Command
from pyg_fsar.reproduce import add_arguments, reproduce

__all__ = ["REPRODUCE"]

REPRODUCE = Command(
    "Reproduce the tables and figures of Ma et al. (ECCV 2022), and more, on any of the data sets.",
    (
        "pyg-fsar reproduce --budget small --experiments figure2a --rows 1 10 --seeds 0",
        "pyg-fsar reproduce --budget small --experiments table1 --seeds 0 --dry-run",
    ),
    add_arguments,
    reproduce,
)
