"""What a subcommand is."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Command", "show"]


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Args:
        summary: What it does, in one line.
        examples: Lines of a shell, for ``--help``.
        add_arguments: Adds its arguments to a parser.
        run: From the arguments to its result, plain values by name, or a list of such rows.
    """

    summary: str
    examples: tuple[str, ...]
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], dict[str, Any] | list[dict[str, Any]]]


def show(result: dict[str, Any] | list[dict[str, Any]], as_json: bool) -> str:
    """A result as text.

    Args:
        result: What :attr:`Command.run` returned.
        as_json: As one JSON document; otherwise as lines for people.
    """
    if as_json:
        return json.dumps(result, indent=2, ensure_ascii=False)
    if isinstance(result, list):
        from pyg_fsar.training import format_table

        return format_table(result) if result else "nothing"
    lines = []
    for name, value in result.items():
        if isinstance(value, dict):
            lines.append(f"{name}:")
            lines += [f"  {key}: {_plain(item)}" for key, item in value.items()]
        elif isinstance(value, list) and any(isinstance(item, list | tuple) for item in value):
            lines.append(f"{name}:")
            lines += [f"  {': '.join(map(str, item))}" for item in value]
        else:
            lines.append(f"{name}: {_plain(value)}")
    return "\n".join(lines)


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
