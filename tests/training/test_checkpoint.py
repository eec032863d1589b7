from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau

from pyg_fsar.training import load_checkpoint, save_checkpoint


@pytest.fixture
def path(tmp_path):
    return tmp_path / "last.ckpt"


def trained(fabric, schedule, steps):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer = Adam(model.parameters(), lr=0.1)
    scheduler = schedule(optimizer)
    model, optimizer = fabric.setup(model, optimizer)
    state = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    for _ in range(steps):
        step(fabric, state)
    return state


def step(fabric, state):
    loss = state["model"](torch.arange(12.0).view(4, 3)).square().mean()
    fabric.backward(loss)
    state["optimizer"].step()
    state["optimizer"].zero_grad()
    plateau = isinstance(state["scheduler"], ReduceLROnPlateau)
    state["scheduler"].step(*([1.0] if plateau else []))
    return loss.item()


@pytest.mark.parametrize(
    "schedule",
    [
        lambda optimizer: CosineAnnealingLR(optimizer, T_max=10),
        lambda optimizer: ReduceLROnPlateau(optimizer, factor=0.5, patience=1),
    ],
    ids=["cosine", "plateau"],
)
def test_round_trip(fabric, path, schedule):
    state = trained(fabric, schedule, 4)
    save_checkpoint(fabric, path, {**state, "history": [{"loss": 0.5}], "note": None})
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]
    further = [step(fabric, state) for _ in range(4)]

    fresh = trained(fabric, schedule, 0)
    assert load_checkpoint(fabric, path, fresh) == {"history": [{"loss": 0.5}], "note": None}
    assert [step(fabric, fresh) for _ in range(4)] == further
    lr = fresh["optimizer"].param_groups[0]["lr"]
    assert lr == state["optimizer"].param_groups[0]["lr"] != 0.1


def test_everything_is_returned_where_nothing_is_to_be_restored(fabric, path):
    save_checkpoint(fabric, path, {"model": nn.Linear(2, 1), "settings": {"lr": 0.1}})
    content = load_checkpoint(fabric, path, {})
    assert content["settings"] == {"lr": 0.1}
    assert set(content["model"]) == {"weight", "bias"}


def test_half_written_checkpoint_replaces_nothing(fabric, path, monkeypatch):
    save_checkpoint(fabric, path, {"epoch": 1})
    good = path.read_bytes()

    def full_disk(target, state):
        Path(target).write_bytes(good[: len(good) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(fabric, "save", full_disk)
        with pytest.raises(OSError, match="No space left"):
            save_checkpoint(fabric, path, {"epoch": 2})
    assert path.read_bytes() == good
    # What was left behind is in nobody's way.
    save_checkpoint(fabric, path, {"epoch": 3})
    assert load_checkpoint(fabric, path, {}) == {"epoch": 3}
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


def test_missing(fabric, path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*last\.ckpt; train first"):
        load_checkpoint(fabric, path, {})


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"x" * 9])
def test_damaged(fabric, path, damage):
    save_checkpoint(fabric, path, {"model": nn.Linear(20, 20)})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RuntimeError, match=r"cannot restore .*last\.ckpt.*(?s:.*)damaged"):
        load_checkpoint(fabric, path, {"model": nn.Linear(20, 20)})


def test_every_flipped_bit_is_noticed(fabric, path):
    state = {"model": nn.Linear(3, 2), "history": [{"loss": 0.5}]}
    save_checkpoint(fabric, path, state)
    content = path.read_bytes()
    tail = range(8 * len(content) - 8 * 60, 8 * len(content))  # the checksum itself
    for bit in (*range(0, 8 * len(content), 499), *tail):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(RuntimeError, match=r"cannot restore .*last\.ckpt.*damaged"):
            load_checkpoint(fabric, path, {"model": nn.Linear(3, 2)})
    path.write_bytes(content)
    assert load_checkpoint(fabric, path, {})["history"] == state["history"]


def test_a_checkpoint_is_an_archive_like_others(fabric, path):
    """For torch and for tools that read archives; and one without a checksum can be loaded."""
    save_checkpoint(fabric, path, {"model": nn.Linear(2, 1)})
    assert torch.load(path, weights_only=True)["model"]["weight"].shape == (1, 2)
    assert torch.load(path, weights_only=True, mmap=True)["model"]["weight"].shape == (1, 2)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    torch.save({"epoch": 3}, path)
    assert load_checkpoint(fabric, path, {}) == {"epoch": 3}


def test_of_another_model(fabric, path):
    save_checkpoint(fabric, path, {"model": nn.Linear(2, 1)})
    with pytest.raises(RuntimeError, match=r"cannot restore .*last\.ckpt.*(?s:.*)size mismatch"):
        load_checkpoint(fabric, path, {"model": nn.Linear(3, 1)})
    with pytest.raises(RuntimeError, match=r"cannot restore .*last\.ckpt.*(?s:.*)optimizer"):
        load_checkpoint(fabric, path, {"optimizer": Adam(nn.Linear(2, 1).parameters())})


class Evil:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_foreign_checkpoint_runs_no_code(fabric, path):
    target = path.with_name("touched")
    torch.save({"model": Evil(target)}, path)
    with pytest.raises(RuntimeError, match=r"cannot restore .*last\.ckpt"):
        load_checkpoint(fabric, path, {})
    assert not target.exists()
    torch.load(path, weights_only=False)
    assert target.exists()  # it would have
