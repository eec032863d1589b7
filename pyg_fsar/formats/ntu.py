"""The ``.skeleton`` text of NTU RGB+D."""

from __future__ import annotations

import re

from pyg_fsar.formats.base import Format, Recording
from pyg_fsar.formats.ntu_format import parse_ntu_skeleton
from pyg_fsar.formats.source import Source

__all__ = ["NTU"]

# The number of frames, any frames without bodies, and a body of 25 joints; or no body at all.
START = re.compile(rb"\s*\d+\s+(0\s+)*\d+\s+\S+([ \t]+\S+){9}\s+25\s|\d+(\s+0)+\s*$")
FPS = 30.0
MAX_FRAMES = 10**5
MAX_BODIES = 16


def matches(source: Source) -> bool:
    """Text that starts with a number of frames and a body of 25 joints."""
    return source.head[:1].isdigit() and START.match(source.head) is not None


def read(source: Source) -> Recording:
    """Read the people of a file as :func:`~pyg_fsar.datasets.read_ntu_skeleton` does."""
    count = source.head.split(maxsplit=1)[0][:20].decode(errors="replace")
    if not count.isdigit() or int(count) > MAX_FRAMES:
        raise ValueError(f"the number of frames is {count!r}; at most {MAX_FRAMES} are read")
    bodies = parse_ntu_skeleton(source.raw, source.path.name, MAX_BODIES)
    return Recording.from_bodies(bodies, "ntu25", FPS)


NTU = Format(
    matches,
    read,
    files=".skeleton text of NTU RGB+D",
    layout="ntu25",
    units="metres",
    people="several, as in the file",
)
