"""Reading pickles of arrays without running what is in them.

Python's own unpickler is not made for files of others: beside calling functions it can be made to
fill the memory, to hang, or to crash. This one knows the few operations that plain data needs, and
calls nothing but functions of :mod:`pyg_fsar.saving.pickle_arrays`.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import numpy as np

from pyg_fsar.saving.pickle_arrays import CALLS, NDARRAY, Unbuilt, checked_key

__all__ = ["load_pickle"]

MAX_DEPTH, MAX_VALUES, MAX_CONTAINERS = 50, 100_000_000, 20_000_000
FUNCTIONS = {id(function) for function in CALLS.values() if function is not NDARRAY}
NUMBERS = {code: struct.Struct("<" + code) for code in "BHIiQ"}
# What holds no containers; elements of sets are keys.
TEXTS_AND_NUMBERS = (type(None), bool, int, float, str, bytes, bytearray)
LEAVES = (*TEXTS_AND_NUMBERS, set, frozenset, np.ndarray, np.generic, np.dtype)


def load_pickle(path: str | Path) -> Any:
    """Load a pickle that consists of NumPy arrays, numbers, texts and plain containers.

    A pickle can name any function to be called when it is loaded; here only the few that rebuild
    arrays of numbers, booleans and texts are, and sizes are checked before memory is taken.

    Args:
        path: File to read.

    Raises:
        ValueError: If the file is no whole pickle or asks for anything else.
        FileNotFoundError: If there is no such file.
    """
    with Path(path).open("rb") as file:
        try:
            content = _Reader(file, Path(path).stat().st_size).load()
            _check_size(content)
        except UnpicklingError as error:
            raise ValueError(
                f"{path} is no pickle of NumPy arrays and plain containers ({error!s:.150}). A "
                "pickle can run code when loaded, so anything else is refused; if you trust the "
                "file, load it yourself and save it again with arrays and containers only"
            ) from error
        except Exception as error:  # what the operations meet in a file that was damaged
            raise ValueError(
                f"{path} is not a whole pickle ({error!r:.150}); get it again"
            ) from error
    return content


class _Reader:
    """Carries out the operations of a pickle, each of which is a byte."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file = file
        self.size = size
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []  # stacks below the marks
        self.memo: dict[int, Any] = {}
        self.num_containers = 0
        self.num_bytes = 0

    def load(self) -> Any:
        operations, read = OPERATIONS, self.file.read
        while (code := read(1)) != b".":
            operation = operations.get(code)
            if operation is None:
                if not code:
                    raise EOFError("it ends too early")
                raise UnpicklingError(f"it asks for operation {code!r}")
            operation(self)
        if self.outer or len(self.stack) != 1:
            raise ValueError("it ends with values that belong to nothing")
        return self.stack.pop()

    # reading

    def read(self, count: int) -> bytes:
        # Python takes the memory before it reads, so a false count is found first.
        if count > 4096 and count > self.size - self.file.tell():
            raise EOFError(f"{count} bytes are announced, which the file has not")
        data = self.file.read(count)
        if len(data) != count:
            raise EOFError("it ends too early")
        return data

    def number(self, code: str) -> Any:
        layout = NUMBERS[code]
        return layout.unpack(self.read(layout.size))[0]

    def line(self) -> bytes:
        line = self.file.readline()
        if line[-1:] != b"\n":
            raise EOFError("it ends too early")
        return line[:-1]

    # containers

    def container(self, value: Any) -> None:
        self.count_containers(1)
        self.stack.append(value)

    def count_containers(self, count: int) -> None:
        self.num_containers += count
        if self.num_containers > min(MAX_CONTAINERS, 2 * self.size):
            raise UnpicklingError(f"{self.num_containers} containers or elements of sets")

    def count(self, arguments: tuple[Any, ...]) -> None:
        """Count what a function gets: what the file has once must not be copied without end."""
        for argument in arguments:
            if isinstance(argument, str | bytes | bytearray):
                self.num_bytes += len(argument)
            elif isinstance(argument, list | tuple):
                self.count_containers(len(argument))
        if self.num_bytes > 2 * self.size:
            raise UnpicklingError("more data than the file has")

    def mark(self) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def items(self) -> list[Any]:
        items, self.stack = self.stack, self.outer.pop()
        return items

    def top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise ValueError(f"{type(self.stack[-1]).__name__} in place of {kind.__name__}")
        return self.stack[-1]

    def append(self) -> None:
        value = self.stack.pop()
        self.top(list).append(value)

    def extend(self) -> None:
        items = self.items()
        self.top(list).extend(items)

    def add(self) -> None:
        items = self.items()
        self.top(set).update(map(checked_key, items))

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.top(dict)[checked_key(key)] = value

    def set_items(self) -> None:
        items = self.items()
        content = self.top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            content[checked_key(key)] = value

    def make_dict(self) -> None:
        items = self.items()
        self.container({})
        self.outer.append(self.stack)
        self.stack = items
        self.set_items()

    def make_tuple(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError("a tuple of more values than there are")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.container(items)

    # memory

    def put(self, number: int) -> None:
        value = self.stack[-1]
        if isinstance(value, Unbuilt):
            value.memo.append(number)
        self.memo[number] = value

    def get(self, number: int) -> None:
        self.stack.append(self.memo[number])

    # calls

    def find(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise UnpicklingError("it asks for a function without a name")
        if (module, name) not in CALLS:
            raise UnpicklingError(f"it asks for {module[:50]}.{name[:50]}")
        self.stack.append(CALLS[module, name])

    def find_on_stack(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.find(module, name)

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if id(function) not in FUNCTIONS or type(arguments) is not tuple:
            raise UnpicklingError("it calls what is no function")
        self.count(arguments)
        self.container(function(*arguments))

    def build(self) -> None:
        state, unbuilt = self.stack.pop(), self.stack.pop()
        if not isinstance(unbuilt, Unbuilt) or type(state) is not tuple:
            raise UnpicklingError(f"it sets the state of {type(unbuilt).__name__}")
        self.count(state)
        value = unbuilt.build(state)
        for number in unbuilt.memo:
            self.memo[number] = value
        self.stack.append(value)

    # numbers and texts

    def decimal(self) -> None:
        text = self.line()
        if text in (b"00", b"01"):
            self.stack.append(text == b"01")
        else:
            self.stack.append(_whole_number(text.removesuffix(b"L")))

    def long(self, count: int) -> None:
        if not 0 <= count < 256:
            raise UnpicklingError(f"a number of {count} bytes")
        self.stack.append(int.from_bytes(self.read(count), "little", signed=True))

    def quoted(self) -> None:
        text = self.line().strip()
        if len(text) < 2 or text[:1] not in (b"'", b'"') or text[-1:] != text[:1]:
            raise ValueError("a text without quotation marks")
        self.stack.append(codecs.escape_decode(text[1:-1])[0].decode("latin1"))

    def escaped(self) -> None:
        text = str(self.line(), "raw-unicode-escape")
        text.encode()  # refuses halves of characters
        self.stack.append(text)


def _whole_number(text: bytes) -> int:
    if len(text) > 1000:
        raise UnpicklingError(f"a number of {len(text)} digits")
    return int(text)


def _reads(method: str, code: str) -> Callable[[_Reader], None]:
    """An operation with a number after it."""
    return lambda reader: getattr(reader, method)(reader.number(code))


def _pushes(read: Callable[[_Reader], Any]) -> Callable[[_Reader], None]:
    return lambda reader: reader.stack.append(read(reader))


def _sized(code: str, convert: Callable[[bytes], Any]) -> Callable[[_Reader], None]:
    """An operation with a number after it, and that many bytes."""
    return lambda reader: reader.stack.append(convert(reader.read(reader.number(code))))


def _latin1(data: bytes) -> str:
    return data.decode("latin1")  # texts of Python 2, which may be bytes


def _skip_frame(reader: _Reader) -> None:
    if reader.number("Q") > reader.size:
        raise EOFError("more bytes are announced than the file has")


def _check_protocol(reader: _Reader) -> None:
    if (protocol := reader.number("B")) > 5:
        raise UnpicklingError(f"protocol {protocol}")


OPERATIONS: dict[bytes, Callable[[_Reader], None]] = {
    b"\x80": _check_protocol,
    b"\x95": _skip_frame,
    b"(": _Reader.mark,
    b"N": lambda reader: reader.stack.append(None),
    b"\x88": lambda reader: reader.stack.append(True),
    b"\x89": lambda reader: reader.stack.append(False),
    b"I": _Reader.decimal,
    b"L": _Reader.decimal,
    b"F": _pushes(lambda reader: float(reader.line())),
    b"J": _pushes(lambda reader: reader.number("i")),
    b"K": _pushes(lambda reader: reader.number("B")),
    b"M": _pushes(lambda reader: reader.number("H")),
    b"G": _pushes(lambda reader: struct.unpack(">d", reader.read(8))[0]),
    b"\x8a": _reads("long", "B"),
    b"\x8b": _reads("long", "i"),
    b"S": _Reader.quoted,
    b"T": _sized("I", _latin1),
    b"U": _sized("B", _latin1),
    b"V": _Reader.escaped,
    b"X": _sized("I", bytes.decode),
    b"\x8c": _sized("B", bytes.decode),
    b"\x8d": _sized("Q", bytes.decode),
    b"B": _sized("I", bytes),
    b"C": _sized("B", bytes),
    b"\x8e": _sized("Q", bytes),
    b"\x96": _sized("Q", bytearray),
    b"]": lambda reader: reader.container([]),
    b"}": lambda reader: reader.container({}),
    b"\x8f": lambda reader: reader.container(set()),
    b")": lambda reader: reader.container(()),
    b"l": lambda reader: reader.container(reader.items()),
    b"t": lambda reader: reader.container(tuple(reader.items())),
    b"d": _Reader.make_dict,
    b"\x91": lambda reader: reader.container(frozenset(map(checked_key, reader.items()))),
    b"\x85": lambda reader: reader.make_tuple(1),
    b"\x86": lambda reader: reader.make_tuple(2),
    b"\x87": lambda reader: reader.make_tuple(3),
    b"a": _Reader.append,
    b"e": _Reader.extend,
    b"\x90": _Reader.add,
    b"s": _Reader.set_item,
    b"u": _Reader.set_items,
    b"\x94": lambda reader: reader.put(len(reader.memo)),
    b"p": lambda reader: reader.put(_whole_number(reader.line())),
    b"q": _reads("put", "B"),
    b"r": _reads("put", "I"),
    b"g": lambda reader: reader.get(_whole_number(reader.line())),
    b"h": _reads("get", "B"),
    b"j": _reads("get", "I"),
    b"c": lambda reader: reader.find(reader.line().decode(), reader.line().decode()),
    b"\x93": _Reader.find_on_stack,
    b"R": _Reader.call,
    b"b": _Reader.build,
}


def _check_size(content: Any) -> None:
    """Refuse values that contain themselves, or that whoever walks through them never ends."""
    known: dict[int, tuple[int, int]] = {}  # number of values and of levels
    walks: list[tuple[Any, Iterator[Any], list[int]]] = []
    value, result = content, (0, 0)
    while True:
        if isinstance(value, list | tuple | dict) and id(value) not in known:
            known[id(value)] = (-1, -1)  # for as long as it is being walked through
            values = value.values() if isinstance(value, dict) else value
            walks.append((value, iter(values), [1, 0]))
        else:
            if isinstance(value, list | tuple | dict):
                result = known[id(value)]
            elif isinstance(value, LEAVES):
                result = (1, 0)
            else:
                raise UnpicklingError("a function without its call, or an array without content")
            if result[0] < 0:
                raise UnpicklingError("a container that contains itself")
            if not walks:
                return
            walks[-1][2][0] += result[0]
            walks[-1][2][1] = max(walks[-1][2][1], result[1])
        done = object()
        while (value := next(walks[-1][1], done)) is done:
            container, _, (count, levels) = walks.pop()
            if count > MAX_VALUES or levels >= MAX_DEPTH:
                raise UnpicklingError(f"more than {MAX_VALUES} values or {MAX_DEPTH} levels")
            known[id(container)] = (count, levels + 1)
            if not walks:
                return
            walks[-1][2][0] += count
            walks[-1][2][1] = max(walks[-1][2][1], levels + 1)
