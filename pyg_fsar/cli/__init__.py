"""The command ``pyg-fsar``: results on stdout, progress on stderr, exit status 0 or 2."""

from pyg_fsar.cli.main import COMMANDS, main

__all__ = ["COMMANDS", "main"]
