from __future__ import annotations

import importlib
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import nn
from torch.optim import Adam

from pyg_fsar.data import Episode
from pyg_fsar.loader import EpisodeLoader
from pyg_fsar.nn import RankMax
from pyg_fsar.training import EvaluationResult, episode_loss, evaluate, fit, load_checkpoint


class Rows(list):
    """A logger that keeps what it gets, and may interrupt the run before an epoch is saved."""

    def __init__(self, interrupt_at=None):
        super().__init__()
        self.interrupt_at = interrupt_at

    def log_metrics(self, row, step):
        if step == self.interrupt_at:
            raise KeyboardInterrupt
        self.append((step, row))


class Counting:
    """A transform that counts clips, and may interrupt the run at one of them."""

    def __init__(self, transform=None, interrupt_at=None):
        self.transform, self.interrupt_at, self.count = transform, interrupt_at, 0

    def __call__(self, clip):
        if self.count == self.interrupt_at:
            raise KeyboardInterrupt
        self.count += 1
        return clip if self.transform is None else self.transform(clip)


class NaNFrom(nn.Module):
    """A penalty whose value, or only its gradient, is NaN from some call on."""

    def __init__(self, call, value=True):
        super().__init__()
        self.calls, self.call, self.value = 0, call, value

    def forward(self, x):
        self.calls += 1
        if self.calls <= self.call:
            return 0 * x.sum()
        return math.nan * x.sum() if self.value else (0 * x.sum()).sqrt()


def without_seconds(history):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def weights(model):
    return {key: value.clone() for key, value in model.state_dict().items()}


def assert_same(state, other):
    assert state.keys() == other.keys()
    for key, value in state.items():
        assert torch.equal(value, other[key]), key


@pytest.fixture
def gradients(monkeypatch):
    """Gradients of all weights at every step of Adam."""
    seen = []
    step = Adam.step

    def recording(self, *args, **kwargs):
        grads = [p.grad for group in self.param_groups for p in group["params"]]
        seen.append(torch.cat([grad.flatten().clone() for grad in grads]))
        return step(self, *args, **kwargs)

    monkeypatch.setattr(Adam, "step", recording)
    return seen


# what is learned


def test_rows_and_progress(fabric, train_data, val_data, new_model, options, tmp_path, capsys):
    rows = Rows()
    options = options(scheduler="cosine", epochs=3)
    history = fit(fabric, new_model(), train_data, val_data, options, tmp_path, loggers=[rows])
    assert [(row["epoch"], row) for row in history] == list(rows)
    assert [row["epoch"] for row in history] == [0, 1, 2]
    for row in history:
        assert all(math.isfinite(value) for value in row.values())
        assert 0 <= row["train_accuracy"] <= 1
        assert 0 <= row["val_accuracy"] <= 1
        assert row["seconds"] > 0
    # The rate that an epoch was trained with, not the one that follows it.
    annealed = [0.005 * (1 + math.cos(math.pi * epoch / 3)) for epoch in range(3)]
    assert [row["lr"] for row in history] == pytest.approx(annealed)
    assert {path.name for path in tmp_path.iterdir()} == {"last.ckpt", "best.ckpt"}
    assert capsys.readouterr().out.count("val ") == 3


def test_learns(fabric, motions, new_model, options, tmp_path):
    model = new_model(dropout=0.0)
    options = options(epochs=6, train_episodes=8, patience=0)
    history = fit(fabric, model, motions(1), motions(2), options, tmp_path)
    assert history[-1]["train_loss"] < 0.7 * history[0]["train_loss"]
    assert history[-1]["val_loss"] < history[0]["val_loss"]


def test_episode_loss(new_model, motions):
    data = motions()
    model = new_model(dropout=0.0)
    episode = Episode.from_clips([data[0], data[6]], [data[1], data[7], data[8]])
    logits, penalty = model(episode)
    loss, accuracy = episode_loss(model, episode, penalty_weight=0.3)
    nll = -logits.log_softmax(dim=-1)[range(3), [0, 1, 1]].mean()
    torch.testing.assert_close(loss, nll + 0.3 * penalty)
    assert penalty != 0
    assert accuracy == (logits.argmax(dim=-1) == torch.tensor([0, 1, 1])).float().mean()
    assert not accuracy.requires_grad


def test_plateau_halves_the_rate(fabric, motions, new_model, options, tmp_path):
    # Nothing is learned, so the loss of the same two episodes never falls after the first epoch.
    model = new_model(dropout=0.0)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    options = options(epochs=14, train_episodes=1, val_episodes=1, patience=0, lr=1e-3)
    rates = [row["lr"] for row in fit(fabric, model, motions(1), motions(2), options, tmp_path)]
    assert rates == [1e-3] * 12 + [5e-4] * 2


def test_accumulated_gradients_are_the_mean_over_episodes(
    fabric, train_data, val_data, new_model, options, gradients, tmp_path
):
    options = options(epochs=1, train_episodes=4, accumulate=2, lr=0.0, weight_decay=0.0)
    model = new_model(dropout=0.0)
    fit(fabric, model, train_data, val_data, options, tmp_path)
    assert len(gradients) == 2

    model = new_model(dropout=0.0)
    episodes = list(EpisodeLoader(train_data, 3, 1, 2, 4, options.seed))
    for seen, pair in zip(gradients, (episodes[:2], episodes[2:]), strict=True):
        model.zero_grad()
        (sum(episode_loss(model, episode)[0] for episode in pair) / 2).backward()
        expected = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
        torch.testing.assert_close(seen, expected)


def test_clip_norm(fabric, train_data, val_data, new_model, options, gradients, tmp_path):
    for folder, clip_norm in [("free", None), ("clipped", 1e-3)]:
        run = options(epochs=1, train_episodes=1, clip_norm=clip_norm)
        fit(fabric, new_model(), train_data, val_data, run, tmp_path / folder)
    free, clipped = gradients
    assert free.norm() > 2e-3
    torch.testing.assert_close(clipped, free * (1e-3 / free.norm()), rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_precision(precision, train_data, val_data, new_model, options, tmp_path):
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    fabric.launch()
    options = options(epochs=3, train_episodes=8, precision=precision, patience=0)
    model = new_model(dropout=0.0)
    before = weights(model)
    history = fit(fabric, model, train_data, val_data, options, tmp_path)
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert not torch.equal(weights(model)["encoder.input_norm.weight"], before.popitem()[1])
    dtype = {"bf16-true": torch.bfloat16, "64-true": torch.float64}.get(precision, torch.float32)
    assert all(parameter.dtype == dtype for parameter in model.parameters())
    result = evaluate(model, val_data, 3, 1, 2, 6, fabric=fabric)
    assert result.losses.isfinite().all()
    assert result.accuracies.dtype == torch.float32
    # Close to what the same weights give in full precision.
    exact = evaluate(model.float(), val_data, 3, 1, 2, 6)
    torch.testing.assert_close(result.losses, exact.losses, rtol=0.1, atol=0.1)


def test_half_precision_with_loss_scaling(train_data, val_data, new_model, options, tmp_path):
    def launched():
        precision = MixedPrecision(
            "16-mixed", "cpu", torch.amp.GradScaler("cpu", growth_interval=5)
        )
        fabric = Fabric(accelerator="cpu", devices=1, plugins=precision)
        fabric.launch()
        return fabric, precision.scaler

    run = options(epochs=3, clip_norm=1.0, patience=0)
    fabric, scaler = launched()
    history = fit(fabric, new_model(), train_data, val_data, run, tmp_path / "whole")
    assert scaler.get_scale() != 2**16
    fabric, _ = launched()
    with pytest.raises(KeyboardInterrupt):
        rows = Rows(interrupt_at=2)
        fit(fabric, new_model(), train_data, val_data, run, tmp_path / "b", loggers=[rows])
    fabric, resumed_scaler = launched()
    resumed = replace(run, resume=True)
    again = fit(fabric, new_model(), train_data, val_data, resumed, tmp_path / "b")
    assert without_seconds(again) == without_seconds(history)
    assert resumed_scaler.state_dict() == scaler.state_dict()


# choosing the best epoch


def test_best_checkpoint_reproduces_its_validation(
    fabric, train_data, val_data, new_model, options, tmp_path
):
    options = options(lr=0.1, patience=0)
    model = new_model()
    history = fit(fabric, model, train_data, val_data, options, tmp_path)
    best = max(history, key=lambda row: row["val_accuracy"])
    fresh = new_model(seed=9)
    load_checkpoint(fabric, tmp_path / "best.ckpt", {"model": fresh})
    for subject in (model, fresh):
        result = evaluate(subject, val_data, 3, 1, 2, 6, seed=options.eval_seed, fabric=fabric)
        assert (result.accuracy, result.loss) == (best["val_accuracy"], best["val_loss"])


def test_best_weights_in_the_end(
    fabric, train_data, val_data, new_model, options, tmp_path, monkeypatch
):
    accuracies = iter([0.25, 0.75, 0.75, 0.5])
    snapshots = []

    def validate(model, *_, **__):
        snapshots.append(weights(model))
        values = {"accuracy": torch.tensor([next(accuracies)]), "loss": torch.tensor([1.0])}
        return EvaluationResult(values, torch.arange(1), torch.ones(1, 1).long(), 0.0)

    monkeypatch.setattr(importlib.import_module("pyg_fsar.training.fit"), "evaluate", validate)
    model = new_model()
    fit(fabric, model, train_data, val_data, options(), tmp_path)
    assert_same(weights(model), snapshots[1])  # the first of equally good ones
    last = load_checkpoint(fabric, tmp_path / "last.ckpt", {})
    assert_same(last["model"], snapshots[3])


@pytest.mark.parametrize(("patience", "epochs"), [(1, 2), (2, 3), (0, 5)])
def test_early_stopping(fabric, motions, new_model, options, tmp_path, patience, epochs):
    run = options(epochs=5, train_episodes=1, lr=0.0, weight_decay=0.0, patience=patience)
    history = fit(fabric, frozen(new_model), motions(1), motions(2), run, tmp_path)
    assert len(history) == epochs


def frozen(new_model):
    """A model whose validation never changes at a learning rate of zero."""
    model = new_model(dropout=0.0)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.momentum = 0.0
    return model


# resuming


@pytest.mark.parametrize("scheduler", ["plateau", "cosine", "none"])
@pytest.mark.parametrize("interruption", ["within an epoch", "before saving", "saving"])
def test_resumed_run_equals_an_uninterrupted_one(
    fabric, motions, val_data, new_model, options, random_transform, tmp_path, monkeypatch,
    scheduler, interruption,
):  # fmt: skip
    options = options(scheduler=scheduler, clip_norm=1.0, accumulate=2, patience=0)
    whole, broken = new_model(dropout=0.3), new_model(dropout=0.3)
    data = motions(1, transform=random_transform)
    history = fit(fabric, whole, data, val_data, options, tmp_path / "whole")

    clips_of_an_epoch = 4 * 3 * (1 + 2)
    at = clips_of_an_epoch * 5 // 2 if interruption == "within an epoch" else None
    stopping = motions(1, transform=Counting(random_transform, interrupt_at=at))
    rows = Rows(interrupt_at=2 if interruption == "before saving" else None)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        if interruption == "saving":
            patch.setattr(fabric, "save", interrupted_saving(fabric))
        fit(fabric, broken, stopping, val_data, options, tmp_path / "broken", loggers=[rows])
    assert len(rows) <= 3

    rows = Rows()
    torch.manual_seed(123)  # whatever the state of the generator, and of the model
    resumed = new_model(seed=9, dropout=0.3)
    again = fit(
        fabric, resumed, data, val_data, replace(options, resume=True), tmp_path / "broken",
        loggers=[rows],
    )  # fmt: skip
    assert without_seconds(again) == without_seconds(history)
    assert [step for step, _ in rows] == [0, 1, 2, 3]
    assert_same(weights(resumed), weights(whole))
    for name in ("last.ckpt", "best.ckpt"):
        ours, theirs = (
            load_checkpoint(fabric, tmp_path / run / name, {})["model"]
            for run in ("broken", "whole")
        )
        assert_same(ours, theirs)


def interrupted_saving(fabric):
    """Killed while ``last.ckpt`` of the third epoch is half written."""
    save, calls = fabric.save, []

    def saving(path, state):
        save(path, state)
        if "last" in path.name:
            calls.append(path)
        if len(calls) == 3:
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2])
            raise KeyboardInterrupt

    return saving


def test_early_stopping_counts_over_an_interruption(fabric, motions, new_model, options, tmp_path):
    run = options(epochs=9, train_episodes=1, lr=0.0, weight_decay=0.0, patience=3, resume=True)
    data = motions(1), motions(2)
    with pytest.raises(KeyboardInterrupt):
        fit(fabric, frozen(new_model), *data, run, tmp_path, loggers=[Rows(interrupt_at=2)])
    history = fit(fabric, frozen(new_model), *data, run, tmp_path)
    assert [row["epoch"] for row in history] == [0, 1, 2, 3]


def test_nothing_to_resume(fabric, train_data, val_data, new_model, options, tmp_path, capsys):
    run = options(epochs=1, resume=True)
    history = fit(fabric, new_model(), train_data, val_data, run, tmp_path / "new")
    assert len(history) == 1
    assert f"nothing to resume at {tmp_path / 'new' / 'last.ckpt'}" in capsys.readouterr().out


def test_finished_run_is_not_trained_further(
    fabric, motions, val_data, new_model, options, tmp_path
):
    model = new_model()
    history = fit(fabric, model, motions(1), val_data, options(epochs=2), tmp_path)
    before = (tmp_path / "last.ckpt").read_bytes(), (tmp_path / "best.ckpt").read_bytes()
    counting, fresh = Counting(), new_model(seed=9)
    again = fit(
        fabric, fresh, motions(1, transform=counting), val_data, options(epochs=2, resume=True),
        tmp_path,
    )  # fmt: skip
    assert again == history
    assert counting.count == 0
    assert_same(weights(fresh), weights(model))
    after = (tmp_path / "last.ckpt").read_bytes(), (tmp_path / "best.ckpt").read_bytes()
    assert after == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.5}, r"started with lr=0\.01, but now there is lr=0\.5"),
        ({"seed": 3}, r"started with seed=2022, but now there is seed=3"),
        ({"gamma": 1.0}, r"started with gamma=0\.1, but now there is gamma=1\.0"),
        ({"k_shot": 2, "n_query": 1}, r"k_shot=1, n_query=2, but now there is k_shot=2, n_query=1"),
        ({"scheduler": "cosine"}, r"epochs=None, scheduler='plateau', but .*scheduler='cosine'"),
        ({"precision": "bf16-mixed"}, r"precision=None, but now there is precision='bf16-mixed'"),
        ({"blocks": 7}, r"started with blocks=None, but now there is blocks=7"),
    ],
)
def test_other_options_are_refused(
    fabric, train_data, val_data, new_model, options, tmp_path, changes, message
):
    settings = {"gamma": 0.1}
    first = options(epochs=1, train_episodes=1)
    fit(fabric, new_model(), train_data, val_data, first, tmp_path, settings)
    names = vars(first)
    ours = {name: value for name, value in changes.items() if name in names}
    settings |= {name: value for name, value in changes.items() if name not in names}
    second = replace(first, resume=True, epochs=2, **ours)
    with pytest.raises(ValueError, match=rf"cannot resume .*last\.ckpt.*{message}"):
        fit(fabric, new_model(), train_data, val_data, second, tmp_path, settings)


def test_another_model_is_refused_by_its_settings(
    fabric, train_data, val_data, new_model, options, tmp_path
):
    run = options(epochs=1, train_episodes=1)
    fit(fabric, new_model(), train_data, val_data, run, tmp_path, {"width": 8})
    model = new_model()
    model.encoder.blocks = nn.ModuleList([model.encoder.blocks[0]])
    before = weights(model)
    with pytest.raises(ValueError, match="started with width=8, but now there is width=4"):
        fit(fabric, model, train_data, val_data, replace(run, resume=True), tmp_path, {"width": 4})
    assert_same(weights(model), before)


def test_free_options_may_change(fabric, train_data, val_data, new_model, options, tmp_path):
    fit(fabric, new_model(), train_data, val_data, options(epochs=1), tmp_path)
    more = options(epochs=3, resume=True, patience=5, num_workers=1, test_runs=2)
    assert len(fit(fabric, new_model(), train_data, val_data, more, tmp_path)) == 3
    whole = fit(fabric, new_model(), train_data, val_data, options(epochs=3), tmp_path / "whole")
    resumed = load_checkpoint(fabric, tmp_path / "last.ckpt", {})["history"]
    # Neither the interruption nor the worker that prepared the episodes made a difference.
    assert without_seconds(resumed) == without_seconds(whole)


def test_damaged_checkpoint_is_named(fabric, train_data, val_data, new_model, options, tmp_path):
    (tmp_path / "last.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(RuntimeError, match=r"cannot restore .*last\.ckpt.*(?s:.*)damaged"):
        fit(fabric, new_model(), train_data, val_data, options(resume=True), tmp_path)


def test_earlier_run_is_not_overwritten(fabric, train_data, val_data, new_model, options, tmp_path):
    run = options(epochs=1, train_episodes=1)
    fit(fabric, new_model(), train_data, val_data, run, tmp_path)
    before = (tmp_path / "last.ckpt").read_bytes()
    with pytest.raises(FileExistsError, match=r"holds an earlier run.*--resume.*--out"):
        fit(fabric, new_model(), train_data, val_data, run, tmp_path)
    (tmp_path / "last.ckpt").unlink()  # killed between the two
    with pytest.raises(FileExistsError, match=r"holds an earlier run"):
        fit(fabric, new_model(), train_data, val_data, run, tmp_path)
    assert (tmp_path / "best.ckpt").exists()
    assert before


# what goes wrong


@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize("value", [True, False], ids=["loss", "gradient"])
def test_nan(fabric, train_data, val_data, new_model, options, tmp_path, clip_norm, value):
    run = options(epochs=3, train_episodes=2, clip_norm=clip_norm, patience=0)
    model = new_model()
    # Each episode penalises prototypes and queries; the last of the second epoch goes wrong, after
    # which a gradient shows only in the validation.
    model.penalty = NaNFrom(call=6, value=value)
    rows = Rows()
    message = r"loss became nan .* epoch 1.*lower lr, a clip_norm, or precision 32-true"
    with pytest.raises(FloatingPointError, match=message):
        fit(fabric, model, train_data, val_data, run, tmp_path, loggers=[rows])
    assert [step for step, _ in rows] == [0]
    last = load_checkpoint(fabric, tmp_path / "last.ckpt", {})
    assert len(last["history"]) == 1
    assert all(tensor.isfinite().all() for tensor in last["model"].values())


def test_episodes_that_do_not_divide(fabric, train_data, val_data, new_model, options, tmp_path):
    message = r"train_episodes=4 must be a multiple of devices x accumulate = 1 x 3 = 3"
    with pytest.raises(ValueError, match=message):
        fit(fabric, new_model(), train_data, val_data, options(accumulate=3), tmp_path)


def test_a_weight_without_penalty_is_refused(
    fabric, train_data, val_data, new_model, options, tmp_path
):
    model = new_model()
    model.penalty = None
    with pytest.raises(ValueError, match=r"penalty_weight=0\.3 \(--lambda\) has no effect"):
        fit(fabric, model, train_data, val_data, options(penalty_weight=0.3), tmp_path)
    fit(fabric, model, train_data, val_data, options(penalty_weight=0.0), tmp_path)


def test_penalty_weight_zero_switches_the_penalty_off(new_model, motions):
    data = motions()
    episode = Episode.from_clips([data[0], data[6]], [data[1], data[7]])
    model = new_model(dropout=0.0)
    loss, _ = episode_loss(model, episode, penalty_weight=0.0)
    logits, penalty = model(episode)
    assert isinstance(model.penalty, RankMax)
    assert penalty != 0
    torch.testing.assert_close(loss, F.cross_entropy(logits, episode.query_y))


def test_another_optimizer(fabric, train_data, val_data, new_model, options, tmp_path):
    def train(folder, **arguments):
        model = new_model()
        given = options(epochs=2, optimizer=arguments.pop("name", "adam"), **arguments.pop("o", {}))
        optimizer = arguments.get("optimizer")
        if isinstance(optimizer, str):
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)
        fit(fabric, model, train_data, val_data, given, tmp_path / folder, optimizer=optimizer)
        return weights(model)

    sgd = {"name": "sgd", "o": {"optimizer_options": ("momentum=0.5",), "weight_decay": 0.0}}
    by_name = train("name", **sgd)
    by_function = train(
        "function", optimizer=lambda weights: torch.optim.SGD(weights, lr=0.01, momentum=0.5)
    )
    itself = train("itself", optimizer="made of the model's parameters")
    adam = train("adam")
    assert_same(by_function, by_name)
    assert_same(itself, by_name)
    assert any(not torch.equal(adam[key], value) for key, value in by_name.items())
