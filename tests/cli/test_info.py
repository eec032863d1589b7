"""``pyg-fsar info``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pyg_fsar.cli import main
from pyg_fsar.testing import SAMPLES, write_sample_clip, write_sample_folder
from pyg_fsar.testing.motion_samples import MOTION_SAMPLES

Shell = Callable[..., Any]


@pytest.mark.parametrize("name", {**SAMPLES, **MOTION_SAMPLES})
def test_clip_of_every_format(name: str, shell: Shell, tmp_path: Path) -> None:
    if name == "c3d":
        pytest.importorskip("c3d")
    sample = {**SAMPLES, **MOTION_SAMPLES}[name]
    people = 2 if sample.many else 1
    path = write_sample_clip(tmp_path / sample.name, name, "bow", num_bodies=people, num_frames=9)
    found = shell("info", path)
    assert found["kind"] == "clip"
    assert found["format"] == sample.format
    assert (found["frames"], found["bodies"]) == (9, people)


def test_folder_of_clips(shell: Shell, tmp_path: Path) -> None:
    write_sample_folder(tmp_path, "bvh", ["bow", "wave"], clips=3)
    write_sample_folder(tmp_path, "openpose", ["hop"], clips=2, num_bodies=2, num_frames=20)
    write_sample_folder(tmp_path, "asf_amc", ["run"], clips=1)
    (tmp_path / "bow" / "04.bvh").write_text("HIERARCHY\nROOT")
    before = sorted(tmp_path.rglob("*"))
    found = shell("info", tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    assert found["classes"] == {"bow": 3, "hop": 2, "run": 1, "wave": 3}
    assert found["formats"] == {"bvh": 6, "openpose": 2, "asf_amc": 1}
    assert found["layouts"].keys() >= {"openpose25", "cmu31"}
    assert found["frames"] == {"least": 12, "median": 12, "most": 20}
    assert found["bodies"] == {"1": 7, "2": 2}
    assert found["frame_rate"] == pytest.approx(30, abs=0.01)
    (entry,) = found["skipped"]
    assert entry["file"] == "bow/04.bvh"
    assert "04.bvh" in entry["reason"]


@pytest.mark.filterwarnings("ignore:.* raw files or clips of .* were left out:UserWarning")
def test_store_as_the_folder_it_was_made_from(
    shell: Shell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sample_folder(tmp_path, "openpose", ["bow", "wave"], clips=2, num_bodies=2)
    (tmp_path / "bow" / "04.json").write_text("{")
    raw = shell("info", tmp_path)
    store = shell("prepare", tmp_path, "--people", 2)["store"]
    for path in (store, tmp_path / "processed"):
        found = shell("info", path)
        assert found["kind"] == "store"
        assert found["layout"] == "body15_2d"
        assert (found["joints"], found["channels"]) == (15, 3)
        for name in ("clips", "classes", "formats", "frames", "bodies", "frame_rate"):
            assert found[name] == raw[name], name
        assert [entry["file"] for entry in found["skipped"]] == ["bow/04.json"]
    main(["info", store])
    assert "frame rate: unknown" in capsys.readouterr().out


def test_several_stores(refused: Callable[..., str], tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_sample_folder(tmp_path / split, "bvh", ["bow"])
        main(["prepare", str(tmp_path), "--split", split])
    assert "several stores; give one of" in refused("info", tmp_path / "processed")


def test_model_and_classifier(workplace: Path, shell: Shell) -> None:
    found = shell("info", "runs/mine/model")
    assert (found["kind"], found["encoder"], found["layout"]) == ("model", "STGCN", "body15")
    assert "ResampleFrames(8" in found["preparation"]
    assert found["parameters"] > 1000
    shell("classify", "my_clips", "new", "--model", "runs/mine/model", "--save", "runs/names")
    found = shell("info", "runs/names")
    assert found["kind"] == "classifier"
    assert {"bow", "kick", "wave"} < set(found["classes"])


def test_public_checkpoint(checkpoints_root: Path, shell: Shell) -> None:
    found = shell("info", checkpoints_root / "pyskl_hagrid_stgcnpp.pth")
    assert (found["kind"], found["encoder"]) == ("public checkpoint", "STGCNPP")
    assert found["loader"] == "pyg_fsar.nn.stgcnpp_from_public"
    assert (found["layout"], found["joints"], found["classes"]) == ("hand21", 21, 40)
    assert (found["channels"], found["blocks"], found["stream"]) == (2, 6, None)


def test_checkpoints_that_are_no_public_ones(
    shell: Shell, refused: Callable[..., str], tmp_path: Path
) -> None:
    path = tmp_path / "some.pth"
    torch.save({"lstm.weight": torch.zeros(2)}, path)
    assert "no public checkpoint that this package knows" in refused("info", path)
    for name in ("model.PTH", "model.pth.tar"):
        path = path.rename(path.with_name(name))
        assert "no public checkpoint that this package knows" in refused("info", path)
    path = path.rename(path.with_name("some.pth"))
    torch.save({"a": Path}, path)
    assert "some.pth cannot be loaded" in refused("info", path)
    path.write_bytes(b"PK")
    assert "some.pth cannot be loaded" in refused("info", path)
    key = "net.0.gcn1.convs.0.conv4.weight"
    torch.save({key: torch.zeros(1), "A": torch.zeros(3, 17, 17)}, path)
    found = shell("info", path)
    assert found["loader"] == "pyg_fsar.nn.ctrgcn_from_public"
    assert "lacks the spatial.value weights" in found["cannot_be_read"]
