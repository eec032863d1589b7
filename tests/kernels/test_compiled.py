import ctypes
import multiprocessing
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import warnings
from importlib import import_module
from pathlib import Path

import pytest

module = import_module("pyg_fsar.kernels.compiled")
needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler"
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "cache" / "pyg_fsar"


@pytest.fixture
def source(tmp_path):
    """A source of a function ``f``."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "answer.hpp").write_text("#define N 42")
    path = folder / "answer.cpp"
    path.write_text('#include "answer.hpp"\nextern "C" int f() { return N; }')
    return path


@pytest.fixture
def compilations(tmp_path, monkeypatch):
    """A list with a line for each time that the compiler made a library."""
    log, compiler = tmp_path / "log", tmp_path / "counting"
    script(compiler, f'case "$*" in *-o*) echo x >> {log};; esac\nexec c++ "$@"')
    monkeypatch.setenv("CXX", str(compiler))
    log.touch()
    return lambda: len(log.read_text().splitlines())


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def compiled(source, functions=("f",)):
    """Anew each time, as in another process."""
    return module.compiled.__wrapped__(source, functions)


def in_another_process(source):
    """What another process gets: a library stays loaded in this one."""
    code = (
        "import sys; from pathlib import Path; from pyg_fsar.kernels.compiled import compiled; "
        f"print(compiled(Path({str(source)!r}), ('f',)).f())"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


@needs_compiler
def test_compiles_once_and_again_for_another_source(source, cache, compilations):
    for _ in range(2):
        assert compiled(source).f() == 42
    assert compilations() == 1
    library, record = sorted(cache.iterdir(), key=lambda path: path.suffix, reverse=True)
    assert library.name.startswith("answer-") and record == library.with_suffix(".sha256")
    source.with_suffix(".hpp").write_text("#define N 43")
    assert compiled(source).f() == 43
    assert compilations() == 2


@needs_compiler
def test_the_cache_is_private(source, cache, tmp_path):
    cache.mkdir(parents=True, mode=0o755)
    assert compiled(source).f() == 42
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in cache.iterdir())
    assert list((tmp_path / "temporary").iterdir()) == []


def planted(cache, source):
    """A library under the right name that gives another answer, and the name of the right one."""
    compiled(source)
    (library,) = cache.glob("*.so")
    other = source.with_name("other.cpp")
    other.write_text('extern "C" int f() { return 666; }')
    subprocess.run(["c++", "-shared", "-fPIC", str(other), "-o", str(library)], check=True)
    library.chmod(0o600)
    return library


@needs_compiler
@pytest.mark.parametrize("damage", ["planted", "truncated", "no record", "writable", "empty"])
def test_a_library_that_may_not_be_ours_is_made_again(damage, source, cache, compilations):
    library = planted(cache, source)
    if damage != "planted":
        source.with_suffix(".hpp").touch()
        library.unlink()
        compiled(source)
        before = library.read_bytes()
    if damage == "truncated":
        library.write_bytes(before[: len(before) // 2])
    elif damage == "no record":
        library.with_suffix(".sha256").unlink()
    elif damage == "writable":
        library.chmod(0o666)
    elif damage == "empty":
        library.write_bytes(b"")
    count = compilations()
    assert in_another_process(source) == 42
    assert compilations() == count + 1
    assert in_another_process(source) == 42
    assert compilations() == count + 1


@needs_compiler
@pytest.mark.parametrize("foreign", ["folder", "library"])
def test_what_belongs_to_another_user_is_not_loaded(foreign, source, cache, monkeypatch):
    compiled(source)
    (library,) = cache.glob("*.so")
    path, real = (cache if foreign == "folder" else library), Path.stat

    def stat_as_of_another(self, **options):
        status = real(self, **options)
        if self == path:
            status = os.stat_result((*status[:4], status.st_uid + 1, *status[5:]))
        return status

    monkeypatch.setattr(Path, "stat", stat_as_of_another)
    loaded = []
    monkeypatch.setattr(ctypes.CDLL, "__init__", lambda self, name: loaded.append(name))
    monkeypatch.setattr(ctypes.CDLL, "f", None, raising=False)
    if foreign == "folder":
        with pytest.warns(UserWarning, match="belongs to another user.*Set XDG_CACHE_HOME"):
            compiled(source)
    else:
        compiled(source)
    assert loaded and not any(name.startswith(str(cache)) for name in loaded)


@needs_compiler
def test_a_folder_that_others_may_write_to_is_not_used(source, cache):
    compiled(source)
    cache.chmod(0o777)
    with pytest.warns(UserWarning, match="others may write to .*remove it"):
        assert compiled(source).f() == 42
    assert stat.S_IMODE(cache.stat().st_mode) == 0o777


@needs_compiler
def test_a_library_without_its_functions_is_made_again(source, cache):
    compiled(source)
    (library,) = cache.glob("*.so")
    (text,) = [source.read_text()]
    source.write_text(text + '\nextern "C" int g() { return 7; }')
    compiled(source)
    (newer,) = set(cache.glob("*.so")) - {library}
    for suffix in (".so", ".sha256"):  # whole, by the name of the newer
        shutil.copy(library.with_suffix(suffix), newer.with_suffix(suffix))
    assert compiled(source, ("f", "g")).g() == 7
    with pytest.warns(UserWarning, match="left out some of f, h"):
        assert compiled(source, ("f", "h")) is None


@needs_compiler
def test_a_cache_that_is_full_or_no_folder_is_to_blame_and_not_the_compiler(
    source, cache, monkeypatch, tmp_path
):
    real = Path.replace

    def full(*_: object) -> None:
        raise OSError(28, "No space")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.warns(UserWarning, match="cache of compiled kernels .*No space") as record:
        assert compiled(source).f() == 42
    assert "compiler" not in str(record[0].message) and list(cache.iterdir()) == []
    monkeypatch.setattr(Path, "replace", real)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="for this process alone.*Not a directory"):
        library = compiled(source)
    assert isinstance(library, ctypes.CDLL) and library.f() == 42
    assert list((tmp_path / "temporary").iterdir()) == []


@needs_compiler
def test_a_cache_that_may_not_hold_programs_is_done_without(source, cache, monkeypatch):
    compiled(source)
    real = ctypes.CDLL.__init__

    def refuse(self, name, *args, **options):
        if str(name).startswith(str(cache)):
            raise OSError(f"{name}: failed to map segment: Operation not permitted")
        real(self, name, *args, **options)

    monkeypatch.setattr(ctypes.CDLL, "__init__", refuse)
    with pytest.warns(UserWarning, match="failed to map segment.*Set XDG_CACHE_HOME"):
        assert compiled(source).f() == 42

    monkeypatch.setattr(
        ctypes.CDLL, "__init__", lambda *_: (_ for _ in ()).throw(OSError("not permitted"))
    )
    with pytest.warns(UserWarning, match="could not be loaded.*Set TMPDIR.*not permitted"):
        assert compiled(source) is None


@needs_compiler
def test_what_killed_compilers_left_is_swept(source, cache, tmp_path):
    temporary = tmp_path / "temporary"
    old, young = temporary / "pyg_fsar-compile-old", temporary / "pyg_fsar-compile-young"
    for folder in (old, young, temporary / "another", cache / "tmpold"):
        folder.mkdir(parents=True)
        (folder / "library.so").touch()
    (cache / ".answer.so-x.tmp").touch()
    hours_ago = time.time() - 7200
    for path in (old, cache / "tmpold", cache / ".answer.so-x.tmp", temporary / "another"):
        os.utime(path, (hours_ago, hours_ago))
    assert compiled(source).f() == 42
    assert sorted(path.name for path in temporary.iterdir()) == ["another", young.name]
    assert sorted(path.suffix for path in cache.iterdir()) == [".sha256", ".so"]


def test_none_without_a_compiler(source, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled(source) is None


def test_warns_of_a_compiler_that_fails(source, monkeypatch, tmp_path):
    broken = script(tmp_path / "broken", "echo no such option >&2\nexit 1")
    monkeypatch.setenv("CXX", f"{broken} -x")
    with pytest.warns(UserWarning, match=r"answer\.cpp could not.*broken -x.*no such option"):
        assert compiled(source) is None
    monkeypatch.setenv("CXX", str(tmp_path / "missing"))
    with pytest.warns(UserWarning, match="Set CXX to a working compiler.*missing did not run"):
        assert compiled(source) is None
    monkeypatch.setenv("CXX", "g++ 'O3")
    with pytest.warns(UserWarning, match="CXX=g\\+\\+ 'O3 is not a command: No closing quotation"):
        assert compiled(source) is None


@needs_compiler
def test_a_compiler_with_spaces_and_quotes(source, monkeypatch, tmp_path):
    (tmp_path / "my tools").mkdir()
    compiler = script(tmp_path / "my tools" / "c++", f'exec {shutil.which("c++")} "$@"')
    for command in (str(compiler), f"'{compiler}' -DX=1"):
        monkeypatch.setenv("CXX", command)
        assert compiled(source).f() == 42


@needs_compiler
def test_processes_may_compile_at_once(source, cache, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", str(script(tmp_path / "slow", 'sleep 0.3\nexec c++ "$@"')))
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=lambda: sys.exit(compiled(source).f())) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [42, 42]
    assert sorted(path.suffix for path in cache.iterdir()) == [".sha256", ".so"]


@needs_compiler
def test_leaves_nothing_of_what_does_not_compile(source, cache, tmp_path):
    source.with_suffix(".hpp").write_text("#define N what")
    with pytest.warns(UserWarning, match="what"):
        assert compiled(source) is None
    assert list(cache.iterdir()) == [] and list((tmp_path / "temporary").iterdir()) == []
