from __future__ import annotations

from html.parser import HTMLParser

from pyg_fsar.reproduce.document import Code, Figure, Heading, Table, Text, to_html, to_markdown

PARTS = [
    Heading("Results of A & B", 1),
    Text("1 < 2"),
    Heading("A table"),
    Code("$ run --rows 'a <b>'"),
    Table([{"row": "x", "accuracy": "1.5"}, {"row": "<y>", "spread": "2"}]),
    Figure("figures/a.png", 'the "picture"'),
]


class Content(HTMLParser):
    """Tags, texts and pictures of a page."""

    def __init__(self):
        super().__init__()
        self.open, self.texts, self.images = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs))
        elif tag not in ("meta",):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip() and "style" not in self.open:
            self.texts.append(data.strip())


def test_markdown():
    text = to_markdown(PARTS)
    assert text.startswith("# Results of A & B\n\n1 < 2\n\n## A table\n\n```console\n$ run")
    assert "| <y> |          | 2      |" in text
    assert text.endswith('![the "picture"](figures/a.png)\n')


def test_html_has_the_same_content():
    page = Content()
    page.feed(to_html(PARTS))
    assert not page.open
    assert page.texts == [
        *("Results of A & B", "Results of A & B", "1 < 2", "A table", "$ run --rows 'a <b>'"),
        *("row", "accuracy", "spread", "x", "1.5", "<y>", "2", 'the "picture"'),
    ]
    assert page.images == [{"src": "figures/a.png", "alt": 'the "picture"'}]
