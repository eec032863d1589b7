"""C++ sources of this package as libraries, compiled when they are first used.

It takes a C++ compiler and nothing else: the sources know neither torch nor Python. Libraries stay
in the user's cache folder.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import warnings
from ctypes import CDLL
from functools import cache
from hashlib import sha256
from pathlib import Path

import torch

__all__ = ["compiled"]

FLAGS = "-std=c++17 -O3 -shared -fPIC -pthread"
# The sources are written for a compiler that may fuse products with sums, and may not reorder.
ARITHMETIC = "-fno-math-errno -fno-trapping-math -ffp-contract=fast"
# What torch itself asks for before it uses these instructions. The compiler's own choice for this
# machine would not do, since machines share home folders.
INSTRUCTIONS = {
    "AVX2": "-mavx2 -mfma",
    "AVX512": "-mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma",
}


@cache
def compiled(name: str) -> CDLL | None:
    """The library of a source beside this file, or None where there is no compiler, or, with a
    warning, where it fails.

    The compiler is ``$CXX`` or else the first of c++, g++ and clang++. Libraries are kept in
    ``$XDG_CACHE_HOME/pyg_fsar`` or ``~/.cache/pyg_fsar``, or in a temporary folder if neither can
    be written to.

    Args:
        name: The file without its suffix.
    """
    compiler = _compiler()
    if compiler is None or sys.platform == "win32":
        return None
    try:
        return _load(compiler, Path(__file__).with_name(f"{name}.cpp"))
    except (OSError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", None) or error
        warnings.warn(
            f"the C++ compiler {shlex.join(compiler)} failed, so what {name}.cpp would do runs in "
            "plain torch, which is many times slower. Set CXX to a working compiler, or force "
            f'use_backend("vectorised") to do without. It said: {reason}',
            stacklevel=3,
        )
        return None


def _compiler() -> list[str] | None:
    if os.environ.get("CXX"):
        return shlex.split(os.environ["CXX"])
    return next(([name] for name in ("c++", "g++", "clang++") if shutil.which(name)), None)


def _load(compiler: list[str], source: Path) -> CDLL:
    """Load the library from the cache, compiled before if it is not there."""
    instructions = INSTRUCTIONS.get(torch.backends.cpu.get_cpu_capability(), "")
    command = [*compiler, *f"{FLAGS} {ARITHMETIC} {instructions}".split()]
    version = _run([*compiler, "--version"])
    sources = [path.read_text() for path in (source, *sorted(source.parent.glob("*.hpp")))]
    key = sha256("\0".join([*sources, *command, version]).encode()).hexdigest()
    name = f"{source.stem}-{key[:20]}.so"
    folder = _cache_folder()
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            # Once loaded, it needs its file no longer.
            return CDLL(str(_made(command, source, Path(temporary) / name)))
    return CDLL(str(_made(command, source, folder / name)))


def _cache_folder() -> Path | None:
    """Folder for compiled libraries; None if it cannot be written to."""
    try:
        root = os.environ.get("XDG_CACHE_HOME")
        folder = (Path(root) if root else Path.home() / ".cache") / "pyg_fsar"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def _made(command: list[str], source: Path, path: Path) -> Path:
    """Compile to a path where nothing is yet; processes that do so at once do not collide."""
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / path.name
            _run([*command, str(source), "-o", str(made)])
            made.replace(path)
    return path


def _run(command: list[str]) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    return done.stdout
