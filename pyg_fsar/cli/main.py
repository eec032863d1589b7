"""The command line: which subcommands there are, and how they report."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence

from pyg_fsar.cli.classify import CLASSIFY
from pyg_fsar.cli.command import Command, show
from pyg_fsar.cli.evaluate import EVALUATE
from pyg_fsar.cli.explain import EXPLAIN
from pyg_fsar.cli.info import INFO
from pyg_fsar.cli.prepare import PREPARE
from pyg_fsar.cli.train import TRAIN
from pyg_fsar.training import run_script

__all__ = ["COMMANDS", "main"]

#: Subcommands by name; a further one is a further line.
COMMANDS: dict[str, Command] = {
    "info": INFO,
    "prepare": PREPARE,
    "train": TRAIN,
    "evaluate": EVALUATE,
    "classify": CLASSIFY,
    "explain": EXPLAIN,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``pyg-fsar``.

    Args:
        arguments: In place of those of the process.

    Raises:
        SystemExit: With status 2 and one line on stderr for what the user can mend.
    """
    parser = ArgumentParser(
        "pyg-fsar", description="Few-shot action recognition on human skeletons."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        added = commands.add_parser(
            name,
            help=command.summary,
            description=command.summary,
            epilog="examples:\n" + "\n".join(f"  {line}" for line in command.examples),
            formatter_class=RawDescriptionHelpFormatter,
        )
        added.add_argument("--json", action="store_true", help="print the result as JSON")
        command.add_arguments(added)
    options = parser.parse_args(arguments)

    def run() -> None:
        result = COMMANDS[options.command].run(options)
        sys.stdout.write(show(result, options.json) + "\n")

    run_script(run)
