"""``pyg-fsar prepare``."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyg_fsar.cli import main
from pyg_fsar.datasets import SkeletonFolder
from pyg_fsar.testing import write_sample_folder

Shell = Callable[..., Any]


def test_store_is_that_of_the_dataset(shell: Shell, tmp_path: Path) -> None:
    write_sample_folder(tmp_path / "clips", "openpose", num_bodies=2)
    options = ["--skeleton", "coco17", "--people", 2, "--store", tmp_path / "store"]
    found = shell("prepare", tmp_path / "clips", *options)
    assert (found["clips"], found["classes"], found["layout"]) == (6, 3, "coco17")
    assert found["skipped"] == []
    assert not (tmp_path / "clips" / "processed").exists()
    clips = SkeletonFolder(tmp_path / "clips", "coco17", people=2, processed_dir=tmp_path / "store")
    assert str(clips.store.path) == found["store"]
    assert {int(clip.num_bodies) for clip in clips} == {2}


def test_changed_files_are_read_with_force(
    shell: Shell, refused: Callable[..., str], tmp_path: Path
) -> None:
    write_sample_folder(tmp_path, "bvh")
    assert shell("prepare", tmp_path)["clips"] == 6
    write_sample_folder(tmp_path, "bvh", ["hop"])
    assert "--force" in refused("prepare", tmp_path)
    assert shell("prepare", tmp_path, "--force")["clips"] == 8


def test_frames_that_lie_about_are_no_clips(refused: Callable[..., str], tmp_path: Path) -> None:
    write_sample_folder(tmp_path, "openpose", ["bow"], clips=1)
    for frame in (tmp_path / "bow" / "01").iterdir():
        frame.rename(tmp_path / "bow" / frame.name)
    (tmp_path / "bow" / "01").rmdir()
    assert "into a folder of their own, as wave/01/" in refused("prepare", tmp_path)


def _killed_at(root: str, number: int) -> None:
    read, count = SkeletonFolder.read_raw, 0

    def read_raw(self: SkeletonFolder, file: str) -> Any:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(self, file)

    SkeletonFolder.read_raw = read_raw  # type: ignore[method-assign]
    main(["prepare", root])


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals of POSIX")
def test_killed_run_goes_on(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sample_folder(tmp_path / "a", "bvh", clips=12)
    write_sample_folder(tmp_path / "b", "bvh", clips=12)
    process = multiprocessing.get_context("fork").Process(
        target=_killed_at, args=(str(tmp_path / "a"), 31)
    )
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    seen = []
    read = SkeletonFolder.read_raw

    def read_raw(self: SkeletonFolder, file: str) -> Any:
        seen.append(file)
        return read(self, file)

    monkeypatch.setattr(SkeletonFolder, "read_raw", read_raw)
    resumed = shell("prepare", tmp_path / "a")
    assert resumed["clips"] == 36
    assert len(seen) == 36 - 30
    whole = shell("prepare", tmp_path / "b")
    frames = [np.fromfile(Path(run["store"], "frames.f32"), "<f4") for run in (resumed, whole)]
    np.testing.assert_array_equal(*frames)


def test_interrupted_run_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read_raw(self: SkeletonFolder, file: str) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(SkeletonFolder, "read_raw", read_raw)
    with pytest.raises(SystemExit) as exit:
        main(["prepare", str(write_sample_folder(tmp_path, "bvh"))])
    assert exit.value.code == 130
    assert capsys.readouterr().err.endswith("interrupted\n")
