"""How scripts report what their user can mend."""

from __future__ import annotations

import sys
from collections.abc import Callable
from traceback import walk_tb

__all__ = ["run_script"]


# What the system reports by number where a file and a folder are taken for each other.
MISTAKEN = {
    FileExistsError: "a file of this name stands where a folder is needed; give another name",
    NotADirectoryError: "a file stands where a folder is needed; give another name",
    IsADirectoryError: "it is a folder, but a file is needed; give another name",
}


def run_script(main: Callable[[], object], words: Callable[[str], str] = str) -> None:
    """Run a script; an error that its user can mend ends in one line and exit status 2.

    Such errors are those of files, options and missing packages. Anything else, such as what torch
    raises while it computes, is a fault of the program and keeps its traceback.

    Args:
        main: The script's function.
        words: Puts the text of an error into the words of the script.
    """
    try:
        main()
    except (OSError, ValueError, TypeError, ImportError, FloatingPointError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _is_own(error):
            raise
        print(f"error: {words(' '.join(_text(error).split()))}", file=sys.stderr)
        sys.exit(2)


def _text(error: Exception) -> str:
    """What an error says; an error of the system, in words that name the cure."""
    if isinstance(error, OSError) and error.filename and type(error) in MISTAKEN:
        return f"{error.filename}: {MISTAKEN[type(error)]}"
    return str(error)


def _is_own(error: BaseException) -> bool:
    """Whether this package raised an error, or Fabric, which is started with options alone."""
    *_, (frame, _) = walk_tb(error.__traceback__)
    package = str(frame.f_globals.get("__name__", "")).split(".")[0]
    return package in ("pyg_fsar", "lightning_fabric")
