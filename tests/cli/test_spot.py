"""``pyg-fsar spot``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyg_fsar import FewShotClassifier
from pyg_fsar.cli import main
from pyg_fsar.datasets import SkeletonFolder
from pyg_fsar.formats import read_clip
from pyg_fsar.testing import write_sample_folder
from pyg_fsar.testing.motion_samples import MOTION_SAMPLES

ACTIONS = ["bow", "kick", "wave"]


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    return write_sample_folder(tmp_path / "examples", "trc", ACTIONS, clips=2)


@pytest.fixture
def recording(examples: Path, tmp_path: Path) -> Path:
    """Two of the examples, with pauses between."""
    clips = [read_clip(examples / action / "01.trc").bodies.numpy() for action in ("kick", "wave")]
    parts = [part for clip in clips for part in (clip[:, :1].repeat(30, 1), clip)]
    path = tmp_path / "new" / "recording.trc"
    path.parent.mkdir()
    parts.append(clips[-1][:, -1:].repeat(30, 1))
    MOTION_SAMPLES["trc"].write(path, np.concatenate(parts, axis=1))
    return path


def test_actions_of_recordings(
    shell: Callable[..., Any], examples: Path, recording: Path, tmp_path: Path
) -> None:
    rows = shell("spot", examples, recording.parent)
    assert list(rows[0]) == ["recording", "start", "end", "label", "probability"]
    assert [row["label"] for row in rows] == ["kick", "wave"]
    assert {row["recording"] for row in rows} == {str(recording)}
    clips = SkeletonFolder(examples, "body15", processed_dir=tmp_path / "store")
    labels = [clips.class_names[int(label)] for label in clips.labels]
    found = FewShotClassifier().fit(clips, labels).spot(read_clip(recording))
    assert [(row["start"], row["end"]) for row in rows] == [action[:2] for action in found]
    # A saved classifier finds the same.
    shell("classify", examples, recording, "--save", tmp_path / "saved")
    assert shell("spot", tmp_path / "saved", recording) == rows


def test_unknown_actions_are_not_reported(
    shell: Callable[..., Any], recording: Path, tmp_path: Path
) -> None:
    known = write_sample_folder(tmp_path / "known", "trc", ["jump", "kick"], clips=2)
    line = ("spot", known, recording, "--tolerance", 4)
    assert [row["label"] for row in shell(*line)] == ["kick", "jump"]  # which is a wave
    rows = shell(*line, "--unknown", "other")
    assert [row["label"] for row in rows] == ["kick"]
    shell("classify", known, recording, "--unknown", "other", "--save", tmp_path / "saved")
    assert shell("spot", tmp_path / "saved", *line[2:]) == rows


def test_nothing_found(
    examples: Path, recording: Path, capsys: pytest.CaptureFixture[str], shell: Callable[..., Any]
) -> None:
    line = ["spot", str(examples), str(recording), "--tolerance", "0.0001"]
    main(line)
    assert capsys.readouterr().out == "nothing was found\n"
    assert shell(*line) == []


def test_refused(refused: Callable[..., str], examples: Path, recording: Path) -> None:
    assert "--longest must be 6" in refused("spot", examples, recording, "--longest", 2)
    assert "--tolerance must be" in refused("spot", examples, recording, "--tolerance", 0)
    assert "no file or folder" in refused("spot", examples, recording.parent / "none.trc")
