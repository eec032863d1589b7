"""``pyg-fsar classify`` and ``explain``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyg_fsar import FewShotClassifier, load_pretrained
from pyg_fsar.datasets import SkeletonFolder
from pyg_fsar.formats import read_clip
from pyg_fsar.testing import SAMPLES, sample_bodies, write_sample_clip, write_sample_folder

Shell = Callable[..., Any]
ACTIONS = ["bow", "kick", "wave"]


# 3D and 2D; files, folders of frames, and files with others that go with them.
@pytest.mark.parametrize("name", ["bvh", "openpose", "mediapipe", "asf_amc", "coco", "joints_csv"])
def test_one_example_per_class(name: str, shell: Shell, tmp_path: Path) -> None:
    examples = write_sample_folder(tmp_path / "examples", name, ACTIONS, clips=1)
    ending = next((examples / "bow").iterdir()).suffix
    for action in ACTIONS:
        write_sample_clip(tmp_path / "new" / f"{action}{ending}", name, action, take=7)
    if name == "asf_amc":
        ending = ".amc"
    rows = shell("classify", examples, tmp_path / "new", "--top", 2)
    assert [row["clip"] for row in rows] == [
        str(tmp_path / "new" / f"{a}{ending}") for a in ACTIONS
    ]
    assert [row["label"] for row in rows] == ACTIONS
    for row in rows:
        assert list(row) == ["clip", "label", "probability", "probabilities"]
        assert len(row["probabilities"]) == 2
        assert row["probabilities"][row["label"]] == row["probability"]
        assert row["probability"] == max(row["probabilities"].values())
    # The same files one by one, with what lies beside them.
    assert shell("classify", examples, *sorted((tmp_path / "new").iterdir()), "--top", 2) == rows


def test_answers_are_those_of_the_classifier(shell: Shell, tmp_path: Path) -> None:
    examples = write_sample_folder(tmp_path / "examples", "bvh", ACTIONS)
    path = write_sample_clip(tmp_path / "new.bvh", "bvh", "kick", take=7)
    (row,) = shell("classify", examples, path, "--top", 9)
    model, transform = load_pretrained()
    clips = SkeletonFolder(examples, "body15", processed_dir=tmp_path / "store")
    labels = [clips.class_names[int(label)] for label in clips.labels]
    classifier = FewShotClassifier(model, transform=transform).fit(clips, labels)
    expected = classifier.predict_proba([read_clip(path)])[0]
    found = [row["probabilities"][name] for name in classifier.classes_.tolist()]
    assert found == pytest.approx(expected.tolist(), abs=1e-4)


def test_several_people(shell: Shell, tmp_path: Path) -> None:
    """Who moves most does the same in all clips, so the other decides."""
    sample = SAMPLES["openpose"]
    for seed, action in enumerate(ACTIONS):
        bodies = np.stack([sample_bodies(sample)[0], sample_bodies(sample, 2, seed=seed)[1]])
        for path in (tmp_path / "examples" / action / "01", tmp_path / "new" / action):
            path.parent.mkdir(parents=True, exist_ok=True)
            sample.write(path, bodies)
    two = shell("classify", tmp_path / "examples", tmp_path / "new", "--people", 2)
    assert [row["label"] for row in two] == ACTIONS
    one = shell("classify", tmp_path / "examples", tmp_path / "new", "--force")
    for row in one:  # all classes are equally near, up to rounding
        assert list(row["probabilities"].values()) == pytest.approx([1 / 3] * 3, abs=1e-3)


def test_joints_of_unknown_names(shell: Shell, refused: Callable[..., str], tmp_path: Path) -> None:
    examples = write_sample_folder(tmp_path / "examples", "bvh", ACTIONS)
    path = write_sample_clip(tmp_path / "new.bvh", "bvh", "kick", take=7)
    expected = shell("classify", examples, path)
    odd = tmp_path / "odd.bvh"
    odd.write_text(path.read_text().replace("left_knee", "Bone.003"))
    message = refused("classify", examples, odd)
    assert str(odd) in message
    assert "Bone.003" in message and "--joint NAME=left_knee, or pass --ignore-unknown" in message
    # The store of the examples was made with other names, but theirs are known.
    named = shell("classify", examples, odd, "--joint", "Bone.003=left_knee", "--force")
    assert named[0]["probabilities"] == expected[0]["probabilities"]
    without = shell("classify", examples, odd, "--ignore-unknown", "--force")
    assert without[0]["probabilities"] != expected[0]["probabilities"]
    assert "takes NAME=JOINT" in refused("classify", examples, odd, "--joint", "left_knee")
    unknown = refused("classify", examples, odd, "--joint", "Bone.003=tail")
    assert "tail" in unknown and "--joint" in unknown


def test_saved_classifier_needs_no_examples(
    shell: Shell, refused: Callable[..., str], tmp_path: Path
) -> None:
    examples = write_sample_folder(tmp_path / "examples", "openpose", ACTIONS)
    path = write_sample_clip(tmp_path / "new", "openpose", "wave", take=7)
    rows = shell("classify", examples, path, "--save", tmp_path / "saved")
    assert shell("classify", tmp_path / "saved", path) == rows
    line = ["classify", tmp_path / "saved", path, "--model", "body15"]
    assert "leave out --model" in refused(*line)
    (tmp_path / "saved" / "model.safetensors").write_bytes(b"damaged")
    assert "damaged" in refused("classify", tmp_path / "saved", path)


def test_unknown_label(shell: Shell, refused: Callable[..., str], tmp_path: Path) -> None:
    examples = write_sample_folder(tmp_path / "examples", "bvh", ["bow", "kick"], clips=3)
    for take, action in enumerate(["kick", "wave"], start=7):
        write_sample_clip(tmp_path / "new" / f"{action}.bvh", "bvh", action, take=take)
    rows = shell("classify", examples, tmp_path / "new", "--unknown", "other", "--save",
                 tmp_path / "saved")  # fmt: skip
    assert [row["label"] for row in rows] == ["kick", "other"]
    assert set(rows[1]["probabilities"]) == {"bow", "kick"}
    assert rows[0]["probability"] == rows[0]["probabilities"]["kick"]
    assert rows[1]["probability"] is None
    assert shell("classify", tmp_path / "saved", tmp_path / "new") == rows
    assert shell("classify", tmp_path / "saved", tmp_path / "new", "--unknown", "other") == rows
    message = refused("classify", tmp_path / "saved", tmp_path / "new", "--unknown", "none")
    assert "saved with the unknown label 'other'" in message
    shell("classify", examples, tmp_path / "new", "--save", tmp_path / "any")
    message = refused("classify", tmp_path / "any", tmp_path / "new", "--unknown", "none")
    assert "saved with no unknown label; leave out --unknown" in message
    message = refused("classify", examples, tmp_path / "new", "--unknown", "kick")
    assert "'kick' is the label of unknown clips" in message
    assert message.endswith("give --unknown another")


def test_explanation(shell: Shell, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    examples = write_sample_folder(tmp_path / "examples", "bvh", ACTIONS)
    path = write_sample_clip(tmp_path / "new.bvh", "bvh", "kick", take=7)
    found = shell("explain", examples, path, "--picture", tmp_path / "pictures" / "why.png")
    assert found["label"] == found["prediction"] == "kick"
    assert found["nearest_example"].startswith("kick/")
    assert sum(found["probabilities"].values()) == pytest.approx(1)
    strength = [abs(value) for value in found["evidence_of_joints"].values()]
    assert len(strength) == 15 and strength == sorted(strength, reverse=True)
    assert (tmp_path / "pictures" / "why.png").read_bytes().startswith(b"\x89PNG")
    page = tmp_path / "pages" / "why.html"
    assert shell("explain", examples, path, "--html", page) == found
    assert "<title>Why kick?</title>" in page.read_text()
    assert found["nearest_example"] in page.read_text() and "new" in page.read_text()
    other = shell("explain", examples, path, "--label", "bow")
    assert (other["label"], other["prediction"]) == ("bow", "kick")
    assert other["nearest_example"].startswith("bow/")


@pytest.mark.slow
def test_explanation_of_an_unknown_clip_by_a_saved_classifier(
    shell: Shell, refused: Callable[..., str], tmp_path: Path
) -> None:
    examples = write_sample_folder(tmp_path / "examples", "bvh", ["bow", "kick"], clips=3)
    path = write_sample_clip(tmp_path / "wave.bvh", "bvh", "wave", take=7)
    found = shell("explain", examples, path, "--unknown", "other")
    assert found["prediction"] == "other" and found["label"] in ("bow", "kick")
    assert found["distance"] > found["threshold"] > 0
    saved = tmp_path / "saved"
    shell("classify", examples, path, "--unknown", "other", "--save", saved)
    without = shell("explain", saved, path)
    assert without == found | {"nearest_example": None}
    page = tmp_path / "why.html"
    for drawing in ("--html", "--picture"):
        message = refused("explain", saved, path, drawing, page)
        assert "no clips of its examples" in message and "--example-clips FOLDER" in message
    given = ("--example-clips", examples)
    assert shell("explain", saved, path, *given, "--html", page) == found
    assert found["nearest_example"] in page.read_text()
    others = write_sample_folder(tmp_path / "others", "bvh", ["hop", "wave"], clips=3)
    message = refused("explain", saved, path, "--example-clips", others)
    assert "not those that the classifier was fitted with" in message
    assert "leave out --example-clips" in refused("explain", examples, path, *given)
    assert "leave out --unknown" in refused("explain", saved, path, "--unknown", "none")
    assert "leave out --model" in refused("explain", saved, path, "--model", "body15")


def test_explanation_by_one_class(shell: Shell, tmp_path: Path) -> None:
    examples = write_sample_folder(tmp_path / "examples", "bvh", ["kick"], clips=2)
    path = write_sample_clip(tmp_path / "new.bvh", "bvh", "kick", take=7)
    found = shell("explain", examples, path, "--html", tmp_path / "why.html")
    assert found["label"] == "kick" and found["probabilities"] == {"kick": 1}
    assert "There is no other class" in (tmp_path / "why.html").read_text()
