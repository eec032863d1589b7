import ctypes
import multiprocessing
import shutil
import stat
import sys

import pytest

from pyg_fsar.kernels import compiled as module

compiled = module.compiled.__wrapped__  # anew for every test

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler"
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pyg_fsar"


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A source, and a function that counts how often it is compiled."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "answer.cpp").write_text('#include "answer.hpp"\nextern "C" int f() { return N; }')
    (folder / "answer.hpp").write_text("#define N 42")
    monkeypatch.setattr(module, "__file__", str(folder / "compiled.py"))
    return folder


@needs_compiler
def test_compiles_once_and_again_for_another_source(source, cache):
    for _ in range(2):
        assert compiled("answer").f() == 42
    (library,) = cache.iterdir()
    assert library.name.startswith("answer-") and library.suffix == ".so"
    (source / "answer.hpp").write_text("#define N 43")
    assert compiled("answer").f() == 43
    assert len(list(cache.iterdir())) == 2


@needs_compiler
def test_does_without_a_cache(source, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    library = compiled("answer")
    assert isinstance(library, ctypes.CDLL) and library.f() == 42


def test_none_without_a_compiler(source, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert compiled("answer") is None


def test_warns_of_a_compiler_that_fails(source, monkeypatch, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no such option >&2\nexit 1\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CXX", f"{broken} -x")
    with pytest.warns(UserWarning, match=r"broken -x failed.*answer\.cpp.*no such option"):
        assert compiled("answer") is None
    monkeypatch.setenv("CXX", str(tmp_path / "missing"))
    with pytest.warns(UserWarning, match="Set CXX to a working compiler"):
        assert compiled("answer") is None


@needs_compiler
def test_processes_may_compile_at_once(source, cache, monkeypatch, tmp_path):
    slow = tmp_path / "slow"
    slow.write_text('#!/bin/sh\nsleep 0.3\nexec c++ "$@"\n')
    slow.chmod(slow.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CXX", str(slow))
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=lambda: sys.exit(compiled("answer").f())) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [42, 42]
    assert [path.suffix for path in cache.iterdir()] == [".so"]


@needs_compiler
def test_leaves_nothing_of_what_does_not_compile(source, cache):
    (source / "answer.hpp").write_text("#define N what")
    with pytest.warns(UserWarning, match="what"):
        assert compiled("answer") is None
    assert list(cache.iterdir()) == []
