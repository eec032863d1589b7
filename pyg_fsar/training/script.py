"""How scripts report what their user can mend."""

from __future__ import annotations

import sys
from collections.abc import Callable

__all__ = ["run_script"]


def run_script(main: Callable[[], object]) -> None:
    """Run a script; an error that its user can mend ends in one line and exit status 2.

    Such errors are those of files, options and missing packages. Anything else is a fault of the
    program and keeps its traceback.

    Args:
        main: The script's function.
    """
    try:
        main()
    except (OSError, ValueError, TypeError, ImportError, FloatingPointError) as error:
        text = " ".join(str(error).split())
        print(f"error: {text}", file=sys.stderr)
        sys.exit(2)
