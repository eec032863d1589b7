"""Options of matchers: reading them from signatures, and checks that several matchers share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["check_flag", "keywords"]


def keywords(part: Callable[..., Any], *but: str) -> dict[str, Any]:
    """Arguments that can be given by name, and their defaults.

    Args:
        part: A class or function.
        *but: Names to leave out.
    """
    return {
        name: parameter.default
        for name, parameter in inspect.signature(part).parameters.items()
        if name not in but
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }


def check_flag(name: str, value: object) -> bool:
    """Check an option that is on or off; any other value, such as a text, would count as on.

    Raises:
        TypeError: If it is neither True nor False.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r:.60}")
    return value
