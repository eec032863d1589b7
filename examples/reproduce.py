"""The tables and figures of Ma et al. (ECCV 2022) and more, with one command.

    python examples/reproduce.py --data ntu --root DIR                    # as in the paper
    python examples/reproduce.py --data ntu --root DIR --dry-run          # what it would take
    python examples/reproduce.py --data kindergator --root DIR --budget small --jobs 2
    python examples/reproduce.py --budget small --experiments figure2a --seeds 0  # generated

The same as the command ``pyg-fsar reproduce``. An interrupted run goes on where it stopped.
"""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from pyg_fsar.reproduce import add_arguments, reproduce
from pyg_fsar.training import run_script


def parse(arguments: Sequence[str] | None = None) -> Namespace:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    print(json.dumps(reproduce(parse(arguments)), indent=2))


if __name__ == "__main__":
    run_script(main)
