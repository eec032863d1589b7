"""Changes of the content of files: damage, and what somebody who means harm may write."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from pyg_fsar.saving import encode
from pyg_fsar.training import clip_transform

__all__ = ["change"]

NUMBERS = (b"nan", b"inf", b"-1", b"0", b"1e999", b"1e38", b"9" * 18, b"9" * 400, b"0.5", b"''")
UNREADABLE = (OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zlib.error)
WORDS = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1)


def hostile_values(outside: Path) -> list[Any]:
    """Values that a file of data has no use for."""
    file = str(outside / "precious.txt")
    deep: Any = 0
    for _ in range(500):
        deep = [deep]
    functions = ("os.system", "pyg_fsar.datasets.write_ntu_skeleton", "pyg_fsar.nn.import_module")
    calls = [
        {"$partial": {"$function": name}, "args": [file], "keywords": {}} for name in functions
    ]
    dataset = {"class": "pyg_fsar.datasets.NTURGBD", "arguments": {"root": str(outside)}}
    plain = [None, True, -1, 0, 10**9, 2**62, 10**30, 1e308, float("nan"), "", "x" * 10_000, [], {}]
    return [
        *plain,
        *calls,
        {"$module": dataset},
        {"$value": dataset},
        {"$class": "pyg_fsar.STGCN"},
        encode(clip_transform(8, train=True)),
        [[[0.0] * 3] * 25] * 300,
        deep,
        {"a": deep},
    ]


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.file}.new",)


def change(data: bytes, rng: np.random.Generator, outside: Path) -> bytes:
    """One of many changes of a file's content."""
    data = data or b"0"
    kind = int(rng.integers(12))
    start, end = sorted(int(place) for place in rng.integers(0, len(data) + 1, 2))
    if kind == 0:
        flipped = bytearray(data)
        for place in rng.integers(0, len(data), int(rng.integers(1, 4))):
            flipped[place] ^= 1 << int(rng.integers(8))
        return bytes(flipped)
    if kind == 1:
        return data[:start]
    if kind == 2:
        return data[:start] + data[end:]
    if kind == 3:
        return data[:end] + data[start:]
    if kind == 4:
        return data[:start] + rng.bytes(int(rng.integers(1, 32))) + data[start:]
    if kind == 5:
        word = int(rng.choice(np.array(WORDS, dtype=np.uint64)))
        size = int(rng.choice([1, 2, 4, 8]))
        return (
            data[:start] + (word % 2 ** (8 * size)).to_bytes(size, "little") + data[start + size :]
        )
    if kind == 6:
        places = [place for place, byte in enumerate(data[:100_000]) if 48 <= byte < 58]
        if places:
            place = int(rng.choice(places))
            return data[:place] + NUMBERS[rng.integers(len(NUMBERS))] + data[place + 1 :]
    if kind == 7:
        return data[:start] + rng.choice([b"[", b"(", b"{", b"]", b'"']) * 50_000 + data[start:]
    if kind in (8, 9, 10):
        if data.startswith(b"PK\x03\x04"):
            return change_member(data, rng, outside)
        return change_json(data, rng, outside)
    return bytes(
        rng.choice([b"", b"\0" * 64, pickle.dumps(Payload(outside / "payload")), data[::-1]])
    )


def change_json(data: bytes, rng: np.random.Generator, outside: Path) -> bytes:
    """Another value at one place of a JSON file; one byte of any other."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        content = None
    places = []
    todo = [content]
    while todo:
        node = todo.pop()
        if isinstance(node, dict | list):
            keys = list(node) if isinstance(node, dict) else range(len(node))
            places += [(node, key) for key in keys]
            todo += [node[key] for key in keys]
    if not places:
        place = int(rng.integers(len(data)))
        return data[:place] + rng.bytes(1) + data[place + 1 :]
    node, key = places[rng.integers(len(places))]
    values = hostile_values(outside)
    node[key] = values[rng.integers(len(values))]
    return json.dumps(content).encode()


def change_member(data: bytes, rng: np.random.Generator, outside: Path) -> bytes:
    """One file in an archive changed, and the archive whole again, with right checksums."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
    except (zipfile.BadZipFile, *UNREADABLE):
        return data[: len(data) // 2]
    if not members:
        return data[: len(data) // 2]
    chosen = int(rng.integers(len(members)))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for number, (name, member) in enumerate(members):
            archive.writestr(name, change(member, rng, outside) if number == chosen else member)
    return content.getvalue()
