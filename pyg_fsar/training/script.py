"""How scripts report what their user can mend."""

from __future__ import annotations

import sys
from collections.abc import Callable
from traceback import walk_tb

__all__ = ["run_script"]


def run_script(main: Callable[[], object]) -> None:
    """Run a script; an error that its user can mend ends in one line and exit status 2.

    Such errors are those of files, options and missing packages. Anything else, such as what torch
    raises while it computes, is a fault of the program and keeps its traceback.

    Args:
        main: The script's function.
    """
    try:
        main()
    except (OSError, ValueError, TypeError, ImportError, FloatingPointError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _is_own(error):
            raise
        text = " ".join(str(error).split())
        print(f"error: {text}", file=sys.stderr)
        sys.exit(2)


def _is_own(error: BaseException) -> bool:
    """Whether this package raised an error, or Fabric, which is started with options alone."""
    *_, (frame, _) = walk_tb(error.__traceback__)
    package = str(frame.f_globals.get("__name__", "")).split(".")[0]
    return package in ("pyg_fsar", "lightning_fabric")
