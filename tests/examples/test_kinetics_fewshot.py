"""Few-shot recognition on files of Kinetics-skeleton, from reading them to the table."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import pytest
import torch
from small_data import TAKES, write_kinetics

from pyg_fsar.datasets import KineticsSkeleton
from pyg_fsar.transforms import clip_transform

TINY = "--accelerator cpu --blocks 2 --num-frames 6 --n-way 2 --n-query 1 --epochs 1"
TINY = f"{TINY} --train-episodes 2 --val-episodes 2 --test-episodes 3 --test-runs 2".split()


@pytest.fixture
def script():
    path = Path(__file__).parents[2] / "examples" / "kinetics_fewshot.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_from_end_to_end(script, tmp_path, capsys):
    write_kinetics(tmp_path / "kinetics")
    out = tmp_path / "out"
    line = [*TINY, "--root", str(tmp_path / "kinetics"), "--out", str(out)]
    script.main([*line, "--clips-per-class", "2"])
    assert "Kinetics-skeleton: 4 training, 4 validation, 4 test clips" in capsys.readouterr().out
    text = (out / "results.md").read_text()
    assert "| stgcn, soft_dtw, rankmax, 2-way 1-shot, Kinetics-skeleton |" in text
    assert text.splitlines()[-1].split("|")[4].strip() == "6"  # episodes
    with (out / "metrics.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 1
    assert (out / "joint_similarity.png").is_file()


def test_the_protocol_of_the_paper(script, tmp_path):
    options = script.parse(["--root", str(tmp_path)])
    assert (options.num_frames, options.clips_per_class, options.epochs) == (50, 100, 100)
    write_kinetics(tmp_path)
    train, test = (script.load(options, split) for split in ("train", "test"))
    assert len(train) == len(test) == 2 * TAKES
    assert train[0].bodies.shape == (1, 50, 18, 3)
    assert not torch.equal(train[0].x, train[0].x)  # random
    assert torch.equal(test[0].x, test[0].x)
    score = KineticsSkeleton(tmp_path, split="test")[0].bodies[..., 2]
    assert set(test[0].bodies[..., 2].flatten().tolist()) <= set(score.flatten().tolist())


def test_genuine_files(formats_root, tmp_path):
    # The labels of the two files are beyond the 120 few-shot classes.
    data = KineticsSkeleton(
        formats_root / "kinetics",
        split="all",
        transform=clip_transform(50, train=False, dims=2),
        processed_dir=tmp_path,
    )
    assert len(data) == 2
    for clip in data:
        assert clip.bodies.shape[1:] == (50, 18, 3)
        assert clip.x.isfinite().all()
        seen = clip.bodies[clip.bodies[..., 2] > 0][:, :2]
        assert 0.1 < float(seen.square().mean().sqrt()) < 10  # in units of the pose
