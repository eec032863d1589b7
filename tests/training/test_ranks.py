from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from torch.utils.data import Subset

from pyg_fsar.loader import EpisodeSampler
from pyg_fsar.training import embed_dataset, evaluate

FOLDER = Path(__file__).parent


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What two processes saw of one run."""
    folder = tmp_path_factory.mktemp("ranks")
    subprocess.run(
        [sys.executable, FOLDER / "two_ranks.py", folder],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
        check=True,
    )
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("two_ranks")


@pytest.fixture
def double_fabric():
    fabric = Fabric(accelerator="cpu", devices=1, precision="64-true")
    fabric.launch()
    return fabric


def test_every_episode_is_trained_on_once(ranks, motions, options):
    sampler = EpisodeSampler(motions(1).labels, 3, 1, 2, 8, options().seed)
    expected = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        expected += list(sampler)
    assert ranks[0]["episodes"] == expected[::2]
    assert ranks[1]["episodes"] == expected[1::2]


def test_ranks_stay_equal(ranks):
    first, second = ranks
    for ours, theirs in zip(first["snapshots"], second["snapshots"], strict=True):
        for name in ours:
            assert torch.equal(ours[name], theirs[name]), name
    for name, weight in first["weights"].items():  # statistics of batch norm, too
        assert torch.equal(weight, second["weights"][name]), name
    for ours, theirs in zip(first["history"], second["history"], strict=True):
        assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}


def test_two_ranks_learn_what_one_learns_that_accumulates(ranks, script, double_fabric, tmp_path):
    _, alone = script.train(double_fabric, tmp_path, accumulate=2)
    for ours, theirs in zip(alone["snapshots"], ranks[0]["snapshots"], strict=True):
        for name in ours:
            torch.testing.assert_close(ours[name], theirs[name])
    for ours, theirs in zip(alone["history"], ranks[0]["history"], strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-4)
        assert ours["train_accuracy"] == pytest.approx(theirs["train_accuracy"])


def test_ranks_validate_one_model(ranks, motions, options, double_fabric, new_model):
    """Although each has statistics of batch norm from its own episodes."""
    model = new_model().double()
    model.load_state_dict(ranks[0]["weights"])
    best = max(ranks[0]["history"], key=lambda row: row["val_accuracy"])
    result = evaluate(model, motions(2), 3, 1, 2, 5, seed=options().eval_seed, fabric=double_fabric)
    assert result.accuracy == pytest.approx(best["val_accuracy"])
    assert result.loss == pytest.approx(best["val_loss"])


def test_evaluation_does_not_depend_on_ranks(ranks, script, double_fabric, new_model):
    model = new_model().double()
    model.load_state_dict(ranks[0]["weights"])
    for name, result in script.evaluations(double_fabric, model).items():
        assert result.losses.isfinite().all()
        for rank in ranks:
            accuracies, losses = rank["evaluations"][name]
            assert torch.equal(accuracies, result.accuracies), name
            torch.testing.assert_close(losses, result.losses, msg=name)


def test_every_rank_encodes_its_share(ranks, motions):
    count = len(motions(2))
    for validation in zip(*(rank["validated"] for rank in ranks), strict=True):
        shares = [len(numbers) for numbers in validation]
        assert max(shares) - min(shares) <= 1
        assert sorted(number for numbers in validation for number in numbers) == [*range(count)]
    assert len(ranks[0]["validated"]) == 2  # epochs


def test_a_rank_without_a_share_gets_the_whole(ranks, motions, new_model):
    model = new_model().double()
    model.load_state_dict(ranks[0]["weights"])
    alone = embed_dataset(model, Subset(motions(2), [3])).x
    for rank in ranks:
        torch.testing.assert_close(rank["one clip"], alone)
