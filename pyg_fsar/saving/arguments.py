"""Arguments as plain data that JSON holds, and back.

A file can name only what :func:`saveable` was told in Python. Loading has two steps: first every
node of the data is checked, and what it names is looked up, without calling anything; then the
objects are constructed.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from types import FunctionType
from typing import Any, TypeVar

from pyg_fsar.skeleton import Skeleton

__all__ = ["decode", "encode", "is_whole", "plan_call", "saveable"]

T = TypeVar("T", bound=Callable[..., Any])
Plan = Callable[[], Any]

MAX_DEPTH, MAX_NODES, MAX_JOINTS = 50, 100_000, 1_000
INT64 = range(-(2**63), 2**63)
# Which names a node must hold, by the first of them.
NODES = {
    "$absent": {"$absent"},
    "$class": {"$class"},
    "$function": {"$function"},
    "$module": {"$module"},
    "$partial": {"$partial", "args", "keywords"},
    "$skeleton": {"$skeleton"},
    "$tuple": {"$tuple"},
    "$value": {"$value"},
}
# Subpackages that tell saveable what they hold, in case that nobody has imported them yet.
PACKAGES = ("pyg_fsar.few_shot", "pyg_fsar.nn", "pyg_fsar.matching", "pyg_fsar.transforms")

_named: dict[str, Callable[..., Any]] = {}
_names: dict[Callable[..., Any], str] = {}


def saveable(item: T, name: str | None = None) -> T:
    """Let saved data name a class or a function; also a decorator.

    Whoever makes a file chooses the arguments, so neither the function nor the constructor may do
    anything but compute: no files, no processes, no global state. A class other than a
    :class:`~pyg_fsar.nn.PretrainedModule` must keep each argument of its constructor as an
    attribute of the same name, as a dataclass does.

    Args:
        item: The class or function.
        name: Its name in files; by default its own, after the package that it comes from.

    Example:
        >>> from dataclasses import dataclass
        >>> @saveable
        ... @dataclass(frozen=True)
        ... class Shift:
        ...     offset: float = 0.0
    """
    if name is None:
        package = ".".join(item.__module__.split(".")[:2])
        name = f"{package}.{item.__qualname__}"
    _named[name] = item
    _names[item] = name
    return item


@functools.singledispatch
def encode(value: Any) -> Any:
    """A value as data that JSON can hold.

    Numbers, texts, lists, tuples, dictionaries, skeletons, classes and functions that are
    :func:`saveable`, instances of such classes, and :func:`functools.partial` of all these come
    back from :func:`decode`; anything else becomes a description, which :func:`decode` refuses.

    Raises:
        TypeError: If an instance of a saveable class does not keep its arguments.
    """
    if type(value) not in _names:
        return {"$absent": repr(value)}
    arguments = {}
    for name in inspect.signature(type(value)).parameters:
        if not hasattr(value, name):
            raise TypeError(
                f"{type(value).__name__} has no attribute '{name}', so that argument cannot be "
                "saved; keep every argument of the constructor under its own name"
            )
        arguments[name] = encode(getattr(value, name))
    return {"$value": {"class": _names[type(value)], "arguments": arguments}}


@encode.register(type(None))
@encode.register(str)
@encode.register(float)
def _(value: Any) -> Any:
    return value


@encode.register
def _(value: int) -> Any:
    return value if value in INT64 else {"$absent": repr(value)}


@encode.register
def _(value: list) -> Any:
    return [encode(item) for item in value]


@encode.register
def _(value: tuple) -> Any:
    return {"$tuple": [encode(item) for item in value]}


@encode.register
def _(value: dict) -> Any:
    # A key that begins like our own would make a node of what is data.
    if any(not isinstance(key, str) or key.startswith("$") for key in value):
        return {"$absent": repr(value)}
    return {key: encode(item) for key, item in value.items()}


@encode.register
def _(value: Skeleton) -> Any:
    return {"$skeleton": value.__getstate__()}


@encode.register
def _(value: functools.partial) -> Any:
    if value.func not in _names:
        return {"$absent": repr(value)}
    return {
        "$partial": encode(value.func),
        "args": [encode(item) for item in value.args],
        "keywords": encode(dict(value.keywords)),
    }


@encode.register
def _(value: type) -> Any:
    return {"$class": _names[value]} if value in _names else {"$absent": repr(value)}


@encode.register
def _(value: FunctionType) -> Any:
    return {"$function": _names[value]} if value in _names else {"$absent": repr(value)}


def decode(data: Any, where: str) -> Any:
    """The value that :func:`encode` made data of.

    Args:
        data: The data, of which every node is checked before anything is constructed.
        where: What it is and where it comes from, for messages, such as "the transform in FILE".

    Raises:
        ValueError: If the data names something that is not :func:`saveable`, has other keys, is too
            large or too deep, or holds what could not be saved; or if a constructor refuses its
            arguments.
    """
    return _Planner(where).plan(data, where, 0)()


def is_whole(data: Any) -> bool:
    """Whether data of :func:`encode` holds no value of which it could keep only a description."""
    if isinstance(data, dict):
        return "$absent" not in data and all(is_whole(item) for item in data.values())
    return not isinstance(data, list) or all(is_whole(item) for item in data)


def plan_call(
    name: str, arguments: Any, where: str, given: Mapping[str, Any], found: type | None = None
) -> tuple[type, Plan]:
    """A class that data names, and a function that makes the instance; nothing is called yet.

    Args:
        name: Name of the class.
        arguments: Arguments of its constructor as data.
        where: The file, for messages.
        given: Values in place of some arguments or beside them.
        found: The class, if it is known already.

    Raises:
        ValueError: As :func:`decode` and, from the function returned, as its constructors.
    """
    return _Planner(where).call(name, arguments, where, 0, given, found)


class _Planner:
    """Checks data of one origin and makes functions that construct what it describes."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.owner = ""
        self.num_nodes = 0

    def plan(self, data: Any, where: str, depth: int) -> Plan:
        self.num_nodes += 1
        if depth > MAX_DEPTH or self.num_nodes > MAX_NODES:
            raise self.malformed(where, f"more than {MAX_DEPTH} levels or {MAX_NODES} values")
        if isinstance(data, list):
            items = [self.plan(item, where, depth + 1) for item in data]
            return lambda: [item() for item in items]
        if isinstance(data, dict):
            first = next((key for key in data if key.startswith("$")), None)
            if first is None:
                values = {key: self.plan(data[key], where, depth + 1) for key in data}
                return lambda: {key: value() for key, value in values.items()}
            if NODES.get(first) != data.keys():
                raise self.malformed(where, f"unknown or missing keys beside '{_short(first)}'")
            return self.node(first, data, where, depth)
        if isinstance(data, int) and data not in INT64:
            raise self.malformed(where, "a number beyond 64 bits")
        return lambda: data

    def node(self, kind: str, data: dict[str, Any], where: str, depth: int) -> Plan:
        """What is not plain."""
        content = data[kind]
        if kind == "$absent":
            raise ValueError(
                f"{where} was {_short(content)}, which JSON cannot hold; give it, or the argument "
                "that holds it, again by name to from_pretrained"
            )
        if kind in ("$class", "$function"):
            item = self.find(content, kind[1:], where)
            return lambda: item
        if kind in ("$module", "$value"):
            if not isinstance(content, dict) or content.keys() != {"class", "arguments"}:
                raise self.malformed(where, "an object without class and arguments")
            return self.call(content["class"], content["arguments"], where, depth + 1, {})[1]
        if kind == "$skeleton":
            return self.skeleton(content, where)
        if kind == "$tuple":
            items = self.plan(self.checked(content, list, where), where, depth + 1)
            return lambda: tuple(items())
        function = self.checked(content, dict, where)
        if not function.keys() <= {"$class", "$function"}:
            raise self.malformed(where, "a partial of something that is no class and no function")
        make = self.plan(function, where, depth + 1)
        args = self.plan(self.checked(data["args"], list, where), where, depth + 1)
        keywords = {
            key: self.plan(value, where, depth + 1)
            for key, value in self.checked(data["keywords"], dict, where).items()
        }
        return lambda: functools.partial(make(), *args(), **{k: v() for k, v in keywords.items()})

    def call(
        self,
        name: Any,
        arguments: Any,
        where: str,
        depth: int,
        given: Mapping[str, Any],
        found: type | None = None,
    ) -> tuple[type, Plan]:
        cls = found or self.find(name, "class", where)
        self.owner = self.owner or str(name)
        arguments = self.checked(arguments, dict, where)
        plans = {
            key: self.plan(
                value, f"argument '{_short(key)}' of {cls.__name__} in {self.source}", depth + 1
            )
            for key, value in arguments.items()
            if key not in given
        }
        try:
            inspect.signature(cls).bind(**plans, **given)
        except TypeError as error:
            raise self.unfit(name, error) from error

        def make() -> Any:
            values = {key: plan() for key, plan in plans.items()}
            try:
                return cls(**values, **given)
            except Exception as error:
                raise self.unfit(name, error) from error

        return cls, make

    def unfit(self, name: Any, error: Exception) -> ValueError:
        return ValueError(
            f"cannot make {_short(name)} of {self.source}: {_short(repr(error))}; an argument does "
            "not fit, or the file is damaged or of another version"
        )

    def find(self, name: Any, kind: str, where: str) -> Any:
        name = self.checked(name, str, where)
        if name not in _named and name.startswith("pyg_fsar."):
            for package in PACKAGES:
                import_module(package)
        item = _named.get(name)
        if item is None or isinstance(item, type) != (kind == "class"):
            raise ValueError(
                f"{where} is {'of ' * (kind == 'class')}{kind} {_short(name)}, which is not known; "
                f"import the module that defines it and makes it saveable, or give it again by name"
            )
        return item

    def skeleton(self, data: Any, where: str) -> Plan:
        """A skeleton, whose fields must be of the right kinds; it is a value and made at once."""
        data = self.checked(data, dict, where)
        parts = self.checked(data.get("parts", {}), dict, where)
        joints = self.checked(data.get("joints"), list, where)
        if len(joints) > MAX_JOINTS or not all(isinstance(joint, str) for joint in joints):
            raise self.malformed(where, f"joints that are no list of up to {MAX_JOINTS} names")
        for number in (data.get("center", 0), data.get("dims", 3)):
            self.checked(number, int, where)
        groups = [data.get("bones"), data.get("pairs", []), *parts.values()]
        for item in (item for group in groups for item in self.checked(group, list, where)):
            for number in item if isinstance(item, list) else [item]:
                self.checked(number, int, where)
        self.checked(data.get("name"), str, where)
        try:
            skeleton = Skeleton(**data)
        except (TypeError, ValueError) as error:
            raise self.malformed(where, _short(error)) from error
        return lambda: skeleton

    def checked(self, data: Any, kind: type, where: str) -> Any:
        if not isinstance(data, kind):
            raise self.malformed(where, f"{type(data).__name__} in place of {kind.__name__}")
        return data

    def malformed(self, where: str, reason: str) -> ValueError:
        if self.owner:
            where = where.removesuffix(f" in {self.source}")
            where = f"cannot make {_short(self.owner)} of {self.source}: {where}"
        return ValueError(
            f"{where} is malformed ({reason}); the file is damaged or of another version: "
            "copy or save it again"
        )


def _short(text: Any) -> str:
    text = str(text)
    return text if len(text) <= 100 else f"{text[:97]}..."
