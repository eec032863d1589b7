"""`examples/live.py`, run as users run it."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from pyg_fsar import FewShotClassifier, Skeleton
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.testing import SAMPLES, sample_bodies
from pyg_fsar.transforms import MapJoints

SCRIPT = Path(__file__).parents[2] / "examples" / "live.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("live", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def raised_hand(frames=30):
    """MediaPipe's joints of a person at rest, then with the right hand up, then at rest."""
    layout = Skeleton.get("mediapipe33")
    rest = np.random.default_rng(0).normal(size=(33, 3)) * 0.02
    heights = {
        "shoulder": 0.5,
        "elbow": 0.25,
        "hip": 0.0,
        "knee": -0.45,
        "ankle": -0.9,
        "nose": 0.7,
    }
    for side, sign in (("left_", -1), ("right_", 1)):
        for name, y in {**heights, "wrist": 0.0}.items():
            if side + name in layout.joints:
                rest[layout.joints.index(side + name)] = (0.2 * sign, y, 0)
    rest[layout.joints.index("nose")] = (0, 0.7, 0)
    x = np.repeat(rest[None], frames, axis=0)
    lift = np.sin(np.linspace(0, np.pi, frames))
    for name, height in (("right_wrist", 0.9), ("right_elbow", 0.4)):
        x[:, layout.joints.index(name), 1] += lift * height
    return x.astype(np.float32)


@pytest.fixture(scope="module")
def gestures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live") / "gestures"
    clip = SkeletonSequence.from_bodies(raised_hand()[None], skeleton="mediapipe33")
    FewShotClassifier().fit([MapJoints("body15")(clip)], ["raise"]).save(folder)
    return folder


@pytest.fixture(scope="module")
def frames():
    clip = raised_hand(40)
    rest = [clip[:1]] * 30
    return np.concatenate([*rest, clip, *rest])


def test_lines_of_json(script, gestures, frames, tmp_path, capsys, monkeypatch):
    lines = [json.dumps(frame.tolist()) for frame in frames]
    lines[3], lines[4] = "null", json.dumps({"bodies": [frames[4].tolist()]})
    path = tmp_path / "frames.jsonl"
    path.write_text("\n".join([*lines, ""]))
    script.main([str(gestures), str(path), "--quiet"])
    found = capsys.readouterr().out
    assert found.startswith("raise (100%), frames 3") and found.count("\n") == 1
    turned = "\n".join(json.dumps((frame * (-1, -1, 1)).tolist()) for frame in frames)
    monkeypatch.setattr(sys, "stdin", io.StringIO(turned))
    script.main([str(gestures), "-", "--camera-axes"])
    captured = capsys.readouterr()
    assert captured.out == found
    assert "o" in captured.err and found.strip() in captured.err


def test_any_file(script, gestures, tmp_path, capsys):
    sample = SAMPLES["mediapipe"]
    path = tmp_path / "clip.json"
    sample.write(path, sample_bodies(sample))
    script.main([str(gestures), str(path), "--quiet"])
    assert len(capsys.readouterr().out.splitlines()) <= 1


def test_picture_of_characters(script):
    layout = Skeleton.get("mediapipe33")
    frame = raised_hand()[15]
    lines = script.as_text(frame, layout, rows=12, columns=30).split("\n")
    assert len(lines) == 12 and max(map(len, lines)) <= 30
    assert "o" in lines[0] and "o" in lines[-1]  # hand and feet
    frame[3] = np.nan
    assert "o" in script.as_text(frame[None], layout)
    assert script.as_text(None, layout).strip() == ""
    assert script.as_text(np.zeros((33, 3)), layout).strip() == ""


def test_window(script):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    layout = Skeleton.get("mediapipe33")
    window = script.Window(layout)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window.plt, "pause", lambda seconds: None)
        window.draw(raised_hand()[15], "raise")
        assert len(window.axes.lines) == len(layout.bones)
        window.draw(None, "")
        assert not window.axes.lines
    window.plt.close("all")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give either a source or --camera"),
        (["-", "--camera", "0"], "give either a source or --camera"),
    ],
)
def test_source_is_asked_for(script, gestures, words, message, capsys):
    with pytest.raises(SystemExit):
        script.main([str(gestures), *words])
    assert message in capsys.readouterr().err


def test_mistakes_are_told(script, gestures, tmp_path, monkeypatch):
    path = tmp_path / "frames.jsonl"
    for line, words in [("nonsense", "line 2 is no frame"), ('{"a": 1}', "line 2 is no frame")]:
        path.write_text(f"null\n{line}\n")
        with pytest.raises(ValueError, match=words) as error:
            script.main([str(gestures), str(path), "--quiet"])
        assert len(str(error.value)) < 500
    path.write_text("[[1, 2, 3]]\n")
    with pytest.raises(ValueError, match="33"):
        script.main([str(gestures), str(path), "--quiet"])
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(ValueError, match="which reads a camera: pip install mediapipe"):
        script.main([str(gestures), "--camera", "0", "--quiet"])
