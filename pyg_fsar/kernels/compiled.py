"""C++ sources of this package as libraries, compiled when they are first used.

This takes a C++ compiler and nothing else: the sources know neither torch nor Python. Libraries are
kept by :mod:`pyg_fsar.kernels.library_cache`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from ctypes import CDLL
from functools import cache
from hashlib import sha256
from pathlib import Path

import torch

from pyg_fsar.kernels.library_cache import LibraryCache, sweep

__all__ = ["DTYPES", "compiled"]

# What kernels compute in, by the names of their functions.
DTYPES = {torch.float32: "float32", torch.float64: "float64"}

INCLUDE = Path(__file__).with_name("include")
FLAGS = "-std=c++17 -O3 -shared -fPIC -pthread"
# The sources allow the compiler to fuse products with sums, but not to reorder operations.
ARITHMETIC = "-fno-math-errno -fno-trapping-math -ffp-contract=fast"
# The instructions that torch itself found. `-march=native` would be wrong, since machines of
# different kinds may share a home folder.
INSTRUCTIONS = {
    "AVX2": "-mavx2 -mfma",
    "AVX512": "-mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma",
}
TEMPORARY_PREFIX = "pyg_fsar-compile-"
WITHOUT = (
    'it runs in plain torch instead, which is many times slower; use_backend("vectorised") or '
    "PYG_FSAR_KERNELS=off choose that without this warning."
)


class _CompilerError(Exception):
    """The compiler could not be run, or refused the source."""


@cache
def compiled(source: Path, functions: Sequence[str]) -> CDLL | None:
    """Load the library of a C++ source, compiling it first if needed.

    The compiler is ``$CXX``, or else the first of c++, g++ and clang++. Libraries are kept in
    ``$XDG_CACHE_HOME/pyg_fsar`` or ``~/.cache/pyg_fsar``. Where that folder cannot be used, or
    others could write to it, the library is compiled in a private temporary folder for this process
    alone, with a warning.

    Args:
        source: The C++ file.
        functions: Names that the library has to have.

    Returns:
        The library; None if there is no compiler, or, with a warning, if compiling or loading
        fails.
    """
    if sys.platform == "win32":
        return None
    try:
        compiler = _compiler()
        return None if compiler is None else _load(compiler, source, functions)
    except _CompilerError as error:
        _warn(
            f"{source.name} could not be compiled, so {WITHOUT} Set CXX to a working compiler. ",
            error,
        )
    except OSError as error:
        _warn(
            f"the library of {source.name} could not be loaded from a temporary folder, so "
            f"{WITHOUT} Set TMPDIR to a folder with free space that may hold programs. ",
            error,
        )
    return None


def _warn(text: str, error: Exception) -> None:
    warnings.warn(f"{text}Reason: {error!s:.240}", stacklevel=4)


def _compiler() -> list[str] | None:
    """Command of the compiler; None if there is none."""
    own = os.environ.get("CXX")
    if not own:
        return next(([name] for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
    if shutil.which(own):  # also a path with spaces
        return [own]
    try:
        return shlex.split(own)
    except ValueError as error:
        raise _CompilerError(f"CXX={own} is not a command: {error}") from error


def _load(compiler: list[str], source: Path, functions: Sequence[str]) -> CDLL:
    instructions = INSTRUCTIONS.get(torch.backends.cpu.get_cpu_capability(), "")
    options = f"{FLAGS} {ARITHMETIC} {instructions}".split()
    headers = [*source.parent.glob("*.hpp"), *INCLUDE.glob("*.hpp")]
    texts = [path.read_text() for path in (source, *sorted(headers))]
    parts = [*texts, *compiler, *options, _run([*compiler, "--version"])]
    key = sha256("\0".join(parts).encode()).hexdigest()
    name = f"{source.stem}-{key[:20]}.so"

    cache = LibraryCache.of_user()
    problem = cache.problem
    if not problem:
        try:
            library = cache.load(name)
            if library is not None and _has(library, functions):
                return library
        except OSError as error:
            problem = str(error)
    sweep(Path(tempfile.gettempdir()), f"{TEMPORARY_PREFIX}*")
    # Loaded libraries no longer need their file.
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX) as folder:
        made = Path(folder) / name
        _run([*compiler, *options, f"-I{INCLUDE}", str(source), "-o", str(made)])
        if not problem:
            try:
                cache.store(made)
            except OSError as error:
                problem = str(error)
        library = CDLL(str(made))
    if not _has(library, functions):
        raise _CompilerError(f"{shlex.join(compiler)} left out some of {', '.join(functions)}")
    if problem:
        warnings.warn(
            f"the cache of compiled kernels {cache.folder} cannot be used, so {source.name} was "
            f"compiled for this process alone: {problem}. Set XDG_CACHE_HOME to a folder of your "
            "own with free space that may hold programs",
            stacklevel=5,
        )
    return library


def _has(library: CDLL, functions: Sequence[str]) -> bool:
    return all(hasattr(library, function) for function in functions)


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    except subprocess.CalledProcessError as error:
        name = Path(command[0]).name
        raise _CompilerError(
            f"{shlex.join([name, *command[1:]]):.60} failed: {error.stderr.strip():.170}"
        ) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise _CompilerError(f"{shlex.join(command[:1])} did not run: {error}") from error
    return done.stdout
