from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pyg_fsar.saving import pack_manifest, read_manifest, read_snapshot, write_files

OTHERS = ["one.bin", "two.bin"]
REPLACE = Path.replace


def files(number: int) -> dict[str, bytes]:
    content = dict.fromkeys(OTHERS, b"%d " % number * 1000)
    return {**content, "all.json": pack_manifest({"number": number, "text": "ä" * 3}, content)}


def number_in(folder: Path) -> int:
    """Which save a folder holds; every file must be of it."""
    snapshot = read_snapshot(folder, "all.json", OTHERS)
    assert snapshot.damaged is None
    content, is_whole = read_manifest(snapshot.files["all.json"], "all.json")
    assert is_whole
    assert snapshot.files == files(content["number"])
    return content["number"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_come_back(tmp_path: Path) -> None:
    for number in (1, 2):
        write_files(tmp_path / "new" / "folder", files(number))
        assert number_in(tmp_path / "new" / "folder") == number
    assert names(tmp_path / "new" / "folder") == sorted(files(1))


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    write_files(tmp_path, files(1))
    manifest = files(1)["all.json"]
    for bit in range(8 * len(manifest)):
        damaged = bytearray(manifest)
        damaged[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(ValueError):
            assert not read_manifest(bytes(damaged), "all.json")[1], bit
    for name, content in files(1).items():
        for bit in range(0, 8 * len(content), 501):
            damaged = bytearray(content)
            damaged[bit // 8] ^= 1 << bit % 8
            (tmp_path / name).write_bytes(damaged)
            assert read_snapshot(tmp_path, "all.json", OTHERS).damaged == name, bit
        (tmp_path / name).write_bytes(content)


def test_ends_of_lines_and_edits_by_hand(tmp_path: Path) -> None:
    write_files(tmp_path, files(1))
    path = tmp_path / "all.json"
    path.write_bytes(files(1)["all.json"].replace(b"\n", b"\r\n"))
    assert read_snapshot(tmp_path, "all.json", OTHERS).damaged is None
    path.write_bytes(files(1)["all.json"].replace(b'"number": 1', b'"number": 7'))
    assert read_snapshot(tmp_path, "all.json", OTHERS).damaged == "all.json"
    path.write_text('{"number": 7}')
    assert read_snapshot(tmp_path, "all.json", OTHERS).damaged is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b" " * 2**24 + b"1"]
)
def test_a_manifest_that_is_none(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"all\.json is damaged.*save it again"):
        read_manifest(content, "all.json")


@pytest.mark.parametrize("missing", ["all.json", "two.bin"])
def test_missing_files(tmp_path: Path, missing: str) -> None:
    write_files(tmp_path, files(1))
    (tmp_path / missing).unlink()
    with pytest.raises(FileNotFoundError, match=missing):
        read_snapshot(tmp_path, "all.json", OTHERS)


def save_and_die(folder: Path, number: int, moves: int) -> None:
    """Save in a process of its own, which ends before the files have all been moved."""
    left = moves

    def replace(self: Path, target: Path) -> Path:
        nonlocal left
        if not left:
            os._exit(9)
        left -= 1
        return REPLACE(self, target)

    Path.replace = replace  # type: ignore[method-assign]
    write_files(folder, files(number))


def in_process(function: Callable[..., None], *arguments: object) -> None:
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    process.join(30)
    assert process.exitcode == 9


@pytest.mark.parametrize("moves", range(len(files(1))))
@pytest.mark.parametrize("former", ["none", "whole", "without checksums"])
def test_a_save_that_is_killed(tmp_path: Path, moves: int, former: str) -> None:
    expected = {2} if former == "none" else {1, 2}
    if former != "none":
        write_files(tmp_path, files(1))
    if former == "without checksums":
        (tmp_path / "all.json").write_text('{"number": 1}')
    in_process(save_and_die, tmp_path, 2, moves)
    if former == "without checksums":
        expected = {2}  # nothing told which files were its own
    assert number_in(tmp_path) in expected
    # The next one starts from there, and may be killed as well.
    found = number_in(tmp_path)
    in_process(save_and_die, tmp_path, 3, moves)
    assert number_in(tmp_path) in {found, 3}
    write_files(tmp_path, files(4))
    assert number_in(tmp_path) == 4
    assert names(tmp_path) == sorted(files(1))


@pytest.mark.parametrize("fail_at", range(1, 4))
def test_a_disk_that_is_full(tmp_path: Path, fail_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path / "old", files(1))
    for name in ("old", "new"):
        calls = iter(range(1, 10))

        def full(number: int, calls: object = calls) -> None:
            if next(calls) == fail_at:  # type: ignore[call-overload]
                raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OSError, match="No space left"):
                write_files(tmp_path / name, files(2))
    assert number_in(tmp_path / "old") == 1
    assert names(tmp_path / "old") == sorted(files(1))
    assert names(tmp_path) == ["old"]


def save_again_and_again(folder: Path, begin: int) -> None:
    for number in range(begin, begin + 60):
        write_files(folder, files(number))


def test_reading_while_two_others_save(tmp_path: Path) -> None:
    write_files(tmp_path, files(0))
    context = multiprocessing.get_context("fork")
    savers = [
        context.Process(target=save_again_and_again, args=(tmp_path, begin))
        for begin in (1000, 2000)
    ]
    for saver in savers:
        saver.start()
    found = set()
    while any(saver.is_alive() for saver in savers):
        found.add(number_in(tmp_path))
    assert [saver.exitcode for saver in savers] == [0, 0]
    assert len(found) > 5
    assert number_in(tmp_path) in (1059, 2059)
