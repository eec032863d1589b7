"""``pyg-fsar train`` and ``evaluate``, and the model that goes from one to the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pyg_fsar import FewShotClassifier, load_pretrained
from pyg_fsar.datasets import SkeletonFolder
from pyg_fsar.formats import read_clip
from pyg_fsar.testing import write_sample_clip, write_sample_folder
from pyg_fsar.training import evaluate
from pyg_fsar.transforms import MapJoints, RemoveMeanPose
from pyg_fsar.weights import save_model

Shell = Callable[..., Any]
SMALL = ["--epochs", "1", "--train-episodes", "2", "--val-episodes", "2", "--n-way", "2"]
SMALL += ["--n-query", "2", "--num-frames", "6"]


def test_model_keeps_the_preparation_it_was_trained_with(workplace: Path, shell: Shell) -> None:
    model, transform = load_pretrained("runs/mine/model")
    clip = transform(read_clip("new/01.bvh"))
    assert (clip.num_frames, clip.skeleton) == (8, "body15")
    assert not any(isinstance(step, RemoveMeanPose) for step in transform.transforms)

    clips = SkeletonFolder("my_clips", "body15")
    labels = [clips.class_names[int(label)] for label in clips.labels]
    expected = FewShotClassifier(model, transform=transform).fit(clips, labels)
    expected = expected.predict_proba([read_clip("new/01.bvh")])[0]
    (row,) = shell("classify", "my_clips", "new/01.bvh", "--model", "runs/mine/model", "--top", 10)
    assert sorted(row["probabilities"].values()) == pytest.approx(sorted(expected), abs=1e-4)

    clips.transform = transform
    result = evaluate(model, clips, 5, 1, 5, 3, seed=4)
    line = ["evaluate", "my_clips", "--model", "runs/mine/model", "--episodes", 3, "--seed", 4]
    found = shell(*line)
    assert found["accuracy"] == pytest.approx(result.accuracy)
    assert found["interval_95"] == pytest.approx(result.interval)
    assert found["accuracy_of_classes"].keys() <= set(clips.class_names)
    assert (found["episodes"], found["clips"]) == (3, 110)


def test_clips_in_pictures_and_another_layout(shell: Shell, tmp_path: Path) -> None:
    actions = ["bow", "kick", "wave", "hop"]
    examples = write_sample_folder(tmp_path / "clips", "openpose", actions, clips=4)
    line = ["train", examples, "--out", tmp_path / "run", "--skeleton", "coco17", *SMALL]
    found = shell(*line)
    assert found["epochs"] == 1
    assert len(found["validation_classes"]) == 2
    assert 0 <= found["validation_accuracy"] <= 1
    model, transform = load_pretrained(found["model"])
    assert model.encoder.skeleton.name == "coco17"
    assert isinstance(transform.transforms[0], MapJoints)
    path = write_sample_clip(tmp_path / "new", "openpose", "wave", take=7)
    (row,) = shell("classify", examples, path, "--model", found["model"])
    assert row["label"] in actions


def test_earlier_run_is_kept(workplace: Path, refused: Callable[..., str]) -> None:
    before = Path("runs/mine/last.ckpt").read_bytes()
    line = ["train", "my_clips", "--out", "runs/mine", *SMALL]
    assert "holds an earlier run; go on with it (--resume)" in refused(*line)
    assert Path("runs/mine/last.ckpt").read_bytes() == before


@pytest.mark.slow
def test_resumes_from_what_it_was_started_with(
    workplace: Path, shell: Shell, refused: Callable[..., str]
) -> None:
    line = ["train", "my_clips", "--out", "runs/tuned", *SMALL[:8], "--scheduler", "none"]
    shell(*line, "--pretrained", "runs/mine/model")
    more = ["--resume", "--epochs", "2", "--pretrained"]
    Path("runs/mine/model").rename("runs/moved")
    assert shell(*line, *more, "runs/moved")["epochs"] == 2
    shell("train", "my_clips", "--out", "runs/other", *SMALL, "--seed", "3")
    for changed in ("runs/other/model", "runs/moved"):
        if changed == "runs/moved":  # other weights in the place of those from which it started
            model, transform = load_pretrained(changed)
            with torch.no_grad():
                next(model.parameters()).add_(1)
            save_model(Path(changed), model, transform)
        assert "started with content_of_pretrained=" in refused(*line, *more, changed)


@pytest.mark.parametrize("flag", ["--test-episodes", "--test-runs"])
def test_has_no_options_of_tests(refused: Callable[..., str], flag: str) -> None:
    line = ["train", "my_clips", "--out", "runs", flag, "3"]
    assert f"unrecognized arguments: {flag} 3" in refused(*line)


def test_validation_may_have_other_ways(
    workplace: Path, shell: Shell, refused: Callable[..., str]
) -> None:
    line = ["train", "my_clips", "--out", "runs/ways", *SMALL, "--eval-n-way"]
    assert len(shell(*line, 4)["validation_classes"]) == 4
    assert "2-way episodes need 11: 2 for training and 9 others" in refused(*line, 9)


def test_damaged_models_are_refused(workplace: Path, refused: Callable[..., str]) -> None:
    line = ["evaluate", "my_clips", "--model"]
    assert "give runs/mine/model" in refused(*line, "runs/mine")
    folder = Path("runs/mine/model")
    preparation, weights = folder / "preparation.json", folder / "model.safetensors"
    text, content = preparation.read_text(), weights.read_bytes()

    preparation.write_text(text.replace("ResampleFrames", "ResampleShapes"))
    assert "preparation.json is damaged" in refused(*line, folder)
    preparation.write_text(json.dumps({"transform": {"$class": "os.system"}}))
    assert "os.system, which is not known" in refused(*line, folder)
    preparation.write_text(text)
    weights.write_bytes(content[:-4])
    assert "model.safetensors is damaged" in refused(*line, folder)
    weights.write_bytes(content)
    preparation.unlink()
    assert "it has no preparation.json" in refused(*line, folder)


def test_goes_on_from_a_model_and_its_preparation(
    workplace: Path, shell: Shell, tmp_path: Path
) -> None:
    line = ["train", "my_clips", "--out", tmp_path / "tuned", "--pretrained", "runs/mine/model"]
    small = [*SMALL[:8], "--lr", "0", "--anchor", "0.1"]
    found = shell(*line, *small)
    start, transform = load_pretrained("runs/mine/model")
    model, again = load_pretrained(found["model"])
    assert repr(again) == repr(transform)
    for name, weight in start.named_parameters():
        assert weight.equal(model.get_parameter(name)), name  # the rate was zero


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--blocks", "4"], "option blocks of the model has no effect"),
        (["--num-frames", "8"], "num_frames has no effect: --pretrained has its own preparation"),
        (["--pretrained", "body15-untrained"], "has no weights that could be trained"),
        (["--pretrained", "nowhere"], "there is no model 'nowhere'"),
    ],
)
def test_options_that_a_pretrained_model_decides(
    workplace: Path, refused: Shell, options: list[str], message: str
) -> None:
    line = ["train", "my_clips", "--out", "runs/no", "--pretrained", "runs/mine/model", *options]
    assert message in refused(*line)
