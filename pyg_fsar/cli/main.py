"""The command line: which subcommands there are, and how they report."""

from __future__ import annotations

import contextlib
import re
import sys
import warnings
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

from pyg_fsar.cli.classify import CLASSIFY
from pyg_fsar.cli.command import Command, show
from pyg_fsar.cli.evaluate import EVALUATE
from pyg_fsar.cli.explain import EXPLAIN
from pyg_fsar.cli.info import INFO
from pyg_fsar.cli.prepare import PREPARE
from pyg_fsar.cli.reproduce import REPRODUCE
from pyg_fsar.cli.spot import SPOT
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
    "spot": SPOT,
    "explain": EXPLAIN,
    "reproduce": REPRODUCE,
}

# Cures as messages of the package name them, in Python, and what they are on the command line.
# Where a subcommand has not the flag, as `reproduce` has names of options, words stay as they are.
IN_SHELL = {
    r"force_reload=True": "--force",
    r"another processed_dir": "another --store",
    r"name it by format=\.\.\.": "use `pyg-fsar info PATH --format NAME`",
    r"; or give asf=PATH": "",
    r"\b(split|skeleton)='": r"--\1='",
    r"\bpeople=(?=\d)": "--people=",
    r"\bnames=\{'\.\.\.': 'left_knee'\}": "--joint NAME=left_knee",
    r"\bnames=\.\.\.": "--joint NAME=left_knee",
    r"\bnames=\{\.\.\.\} has": "--joint names",
    r"\bunknown='ignore'": "--ignore-unknown",
    r"\bnum_blocks\b": "--blocks",
    r"\b(longest|people|tolerance) must\b": r"--\1 must",
    r"\bexamples=clips\b": "--example-clips FOLDER",
    r"\bFewShotClassifier\(unknown=\.\.\.\)": "--unknown",
    r"\bn_way\b": "--n-way",
    r"\bk_shot\b": "--k-shot",
    r"\bn_query\b": "--n-query",
    r"\bnum_episodes\b": "--episodes",
}

INTERRUPTED = 130  # as shells count signals


class _Parser(ArgumentParser):
    """Reports a wrong argument in one line, as everything else that the user can mend."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``pyg-fsar``.

    Args:
        arguments: In place of those of the process.

    Raises:
        SystemExit: With status 2 and one line on stderr for what the user can mend.
    """
    options = _parser().parse_args(arguments)
    words = partial(_in_shell, options)

    def run() -> None:
        with contextlib.redirect_stdout(sys.stderr):  # what libraries print is no result
            result = COMMANDS[options.command].run(options)
        sys.stdout.write(show(result, options.json) + "\n")

    with warnings.catch_warnings():
        warnings.showwarning = partial(_show_warning, words)
        try:
            run_script(run, words)
        except KeyboardInterrupt:
            sys.stderr.write("interrupted\n")
            sys.exit(INTERRUPTED)


def _parser() -> ArgumentParser:
    parser = _Parser("pyg-fsar", description="Few-shot action recognition on human skeletons.")
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
    return parser


def _show_warning(words: Callable[[str], str], message: Warning | str, *_: Any, **__: Any) -> None:
    sys.stderr.write(f"warning: {words(' '.join(str(message).split()))}\n")


def _in_shell(options: Namespace, text: str) -> str:
    """A message in the words of the command line, whose options are those of one subcommand."""

    def put(match: re.Match[str], replacement: str) -> str:
        new = match.expand(replacement)
        flag = re.match(r"(another )?--([a-z-]+)", new)
        return match[0] if flag and not hasattr(options, flag[2].replace("-", "_")) else new

    for pattern, replacement in IN_SHELL.items():
        text = re.sub(pattern, partial(put, replacement=replacement), text)
    return text
