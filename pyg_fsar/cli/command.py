"""What a subcommand is, and how its result is printed."""

from __future__ import annotations

import json
import math
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyg_fsar.training import format_table

__all__ = ["Command", "show"]

# Entries of a list that people get to see; JSON has all.
MOST_SHOWN = 20


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Args:
        summary: What it does, in one line.
        examples: Lines of a shell, for ``--help``; the tests run them.
        add_arguments: Adds its arguments to a parser.
        run: From the arguments to its result: values, lists and dictionaries by name, or a list of
            such rows. Names of values are stable, since programs read them from JSON.
    """

    summary: str
    examples: tuple[str, ...]
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], dict[str, Any] | list[dict[str, Any]]]


def show(result: dict[str, Any] | list[dict[str, Any]], as_json: bool) -> str:
    """A result as text.

    Args:
        result: What :attr:`Command.run` returned.
        as_json: As one JSON document, numbers that are not finite being null; otherwise as lines
            for people.
    """
    if as_json:
        return json.dumps(_finite(result), indent=2, ensure_ascii=False, allow_nan=False)
    if not result:
        return "nothing was found"
    if isinstance(result, list):
        rows = [{_title(name): _plain(value) for name, value in row.items()} for row in result]
        return format_table(rows)
    lines = []
    for name, value in result.items():
        if isinstance(value, dict) and value:
            lines.append(f"{_title(name)}:")
            lines += [f"  {key}: {_plain(item)}" for key, item in value.items()]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lines.append(f"{_title(name)}:")
            lines += [f"  {': '.join(map(_plain, item.values()))}" for item in value[:MOST_SHOWN]]
            if len(value) > MOST_SHOWN:
                lines.append(f"  and {len(value) - MOST_SHOWN} more, see --json")
        else:
            lines.append(f"{_title(name)}: {_plain(value)}")
    return "\n".join(lines)


def _title(name: str) -> str:
    return name.replace("_", " ")


def _plain(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, dict):
        value = [f"{key} {_plain(item)}" for key, item in value.items()]
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _finite(value: Any) -> Any:
    """The same with None in place of what JSON has no number for."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
