"""A report as Markdown and as HTML, from the same parts."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyg_fsar.training import format_table

__all__ = ["Code", "Figure", "Heading", "Part", "Table", "Text", "to_html", "to_markdown"]

STYLE = """
body { font-family: sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: 90%; }
td, th { padding: 0.25em 0.7em; border-bottom: 1px solid #ccc; text-align: left; }
td, th { white-space: nowrap; }
pre { background: #f4f4f4; padding: 0.7em; overflow-x: auto; }
img { max-width: 100%; }
"""


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Code:
    """Lines as they are typed or printed."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows by column, as :func:`~pyg_fsar.training.format_table` takes them."""

    rows: Sequence[Mapping[str, object]]


@dataclass(frozen=True)
class Figure:
    """A picture beside the report.

    Args:
        path: Its file, relative to the report.
        caption: What it shows.
    """

    path: str
    caption: str


Part = Heading | Text | Code | Table | Figure


def to_markdown(parts: Sequence[Part]) -> str:
    """The parts in Markdown."""
    texts = []
    for part in parts:
        if isinstance(part, Heading):
            texts.append(f"{'#' * part.level} {part.text}")
        elif isinstance(part, Code):
            texts.append(f"```console\n{part.text}\n```")
        elif isinstance(part, Table):
            texts.append(format_table(part.rows))
        elif isinstance(part, Figure):
            texts.append(f"![{part.caption}]({part.path})")
        else:
            texts.append(part.text)
    return "\n\n".join(texts) + "\n"


def to_html(parts: Sequence[Part]) -> str:
    """The parts as a page that needs nothing but its pictures."""
    title = next((part.text for part in parts if isinstance(part, Heading)), "")
    texts = []
    for part in parts:
        if isinstance(part, Heading):
            texts.append(f"<h{part.level}>{html.escape(part.text)}</h{part.level}>")
        elif isinstance(part, Code):
            texts.append(f"<pre>{html.escape(part.text)}</pre>")
        elif isinstance(part, Table):
            texts.append(_table(part))
        elif isinstance(part, Figure):
            path, caption = html.escape(part.path), html.escape(part.caption)
            image = f'<img src="{path}" alt="{caption}">'
            texts.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
        else:
            texts.append(f"<p>{html.escape(part.text)}</p>")
    body = "\n".join(texts)
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _table(table: Table) -> str:
    columns = list(dict.fromkeys(key for row in table.rows for key in row))
    lines = ["".join(f"<th>{html.escape(column)}</th>" for column in columns)]
    lines += [
        "".join(f"<td>{html.escape(str(row.get(column, '')))}</td>" for column in columns)
        for row in table.rows
    ]
    return "<table>\n" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "\n</table>"
