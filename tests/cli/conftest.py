"""Folders of clips as users have them, and the command line as they call it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyg_fsar.cli import main
from pyg_fsar.testing import write_sample_clip, write_sample_folder


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs ``pyg-fsar`` with ``--json`` and gives what it printed."""

    def run(*words: object) -> Any:
        capsys.readouterr()  # what was printed before
        main([*map(str, words), "--json"])
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs ``pyg-fsar``, which must refuse in one line with status 2, and gives the line."""

    def run(*words: object) -> str:
        capsys.readouterr()  # what was printed before
        with pytest.raises(SystemExit) as exit:
            main(list(map(str, words)))
        captured = capsys.readouterr()
        errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
        assert exit.value.code == 2
        assert captured.out == ""
        assert len(errors) == 1
        assert captured.err.endswith(f"{errors[0]}\n")
        assert len(errors[0]) < 500
        return errors[0]

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clips of ten classes in ``my_clips``, others in ``new``, a model in ``runs``;
    not to be changed.
    """
    place = tmp_path_factory.mktemp("trained")
    actions = ["bow", "kick", "wave", *(f"action {number}" for number in range(7))]
    write_sample_folder(place / "my_clips", "bvh", actions, clips=11, num_frames=10)
    for number, action in enumerate(("bow", "wave"), 1):
        write_sample_clip(place / "new" / f"{number:02d}.bvh", "bvh", action, take=50)
    line = ["train", "my_clips", "--out", "runs/mine", "--epochs", "1", "--train-episodes", "2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        main([*line, "--val-episodes", "2", "--num-frames", "8", "--no-motion-only"])
    return place


@pytest.fixture
def workplace(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder of :func:`trained`, which is the current one."""
    shutil.copytree(trained, tmp_path / "work", dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"
