"""Texts of messages."""

from __future__ import annotations

__all__ = ["shorten"]


def shorten(text: object, width: int = 200) -> str:
    """A text on one line, its middle cut out if it is longer than ``width`` characters."""
    line = str(text)
    if len(line) > 20 * width:  # else the next line would go through all of it
        line = f"{line[:width]} {line[-width:]}"
    line = " ".join(line.split())
    half = (width - 3) // 2
    return line if len(line) <= width else f"{line[:half]}...{line[-half:]}"
