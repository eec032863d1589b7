"""The training loop that all example scripts share."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from lightning_fabric.loggers import Logger
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, ReduceLROnPlateau

from pyg_fsar.data import Episode
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.loader import EpisodeLoader
from pyg_fsar.metrics import accuracy
from pyg_fsar.training.checkpoint import load_checkpoint, save_checkpoint
from pyg_fsar.training.evaluation import evaluate
from pyg_fsar.training.optimizers import OPTIMIZERS
from pyg_fsar.training.options import TrainingOptions, parse_assignments
from pyg_fsar.training.progress import progress

__all__ = ["episode_loss", "fit"]


def episode_loss(
    model: torch.nn.Module, episode: Episode, penalty_weight: float = TrainingOptions.penalty_weight
) -> tuple[Tensor, Tensor]:
    """Loss of Ma et al. (ECCV 2022) and accuracy of an episode.

    The loss is the mean negative log-likelihood of the queries over the softmax of their logits,
    plus the weighted penalty.

    Args:
        model: A :class:`~pyg_fsar.FewShotModel`.
        episode: On the model's device.
        penalty_weight: Weight of the penalty.
    """
    logits, penalty = model(episode)
    loss = F.cross_entropy(logits, episode.query_y) + penalty_weight * penalty
    return loss, accuracy(logits.detach(), episode.query_y)


def fit(
    fabric: Fabric,
    model: FewShotModel,
    train_data: Any,
    val_data: Any,
    options: TrainingOptions,
    folder: str | Path,
    settings: dict[str, Any] | None = None,
    loggers: Sequence[Logger] = (),
    optimizer: Optimizer | Callable[[Iterable[Parameter]], Optimizer] | None = None,
) -> list[dict[str, float]]:
    """Train a model; afterwards it has the weights of its best epoch by validation.

    After every epoch ``last.ckpt`` holds all that is needed to go on, and ``best.ckpt`` the best
    model so far. Since every epoch seeds itself from ``options.seed`` and its number, a run that
    was interrupted and resumed gives the same losses as one that was not.

    Args:
        fabric: A launched Fabric.
        model: The model; its weights decide nothing but the start.
        train_data: Training clips, usually with random transforms.
        val_data: Validation clips of other classes, with deterministic transforms.
        options: Everything else.
        folder: Where the checkpoints go.
        settings: Plain values that describe the model; a run resumes only with the same ones.
        loggers: Loggers of Fabric, each of which receives one row per epoch.
        optimizer: An optimizer of the model's parameters, or a function that makes one of them, in
            place of the one that ``options`` name.

    Returns:
        One row per epoch: epoch, losses, accuracies (0 to 1), further measures of
        :data:`~pyg_fsar.metrics.QUERY_METRICS`, learning rate and seconds.

    Raises:
        FloatingPointError: If the loss is NaN or infinite; the last checkpoint stays as it was.
        FileExistsError: If the folder holds a run that is not to be resumed.
        ValueError: If episodes do not divide among ranks and accumulation steps, or a resumed run
            was started with other options.
        RuntimeError: If a checkpoint cannot be restored.
    """
    folder = Path(folder)
    last, best = folder / "last.ckpt", folder / "best.ckpt"
    if not options.resume and (last.exists() or best.exists()):
        raise FileExistsError(
            f"{folder} holds an earlier run; go on with it (--resume), or choose another folder "
            "(--out)"
        )
    folder.mkdir(parents=True, exist_ok=True)
    loader = _train_loader(fabric, train_data, options)
    made = _optimizer(fabric, model, options) if optimizer is None else optimizer
    made = made if isinstance(made, Optimizer) else made(model.parameters())
    scheduler = _scheduler(made, options)
    wrapped, wrapped_optimizer = fabric.setup(model, made)

    settings = {**(settings or {}), **_fixed_options(options)}
    state = {
        "model": wrapped,
        "optimizer": wrapped_optimizer,
        "scheduler": scheduler,
        "precision": fabric.strategy.precision,  # the loss scale of 16-mixed
    }
    history: list[dict[str, float]] = []
    if options.resume and last.is_file():
        history = _resume(fabric, last, state, settings, loggers)
    elif options.resume:
        fabric.print(f"nothing to resume at {last}; starting from the beginning")

    while not _finished(history, options):
        epoch = len(history)
        loader.set_epoch(epoch)
        row = _run_epoch(fabric, wrapped, wrapped_optimizer, loader, val_data, options, epoch)
        improved = row["val_accuracy"] > max((r["val_accuracy"] for r in history), default=-1.0)
        history.append(row)
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(row["train_loss"])
        elif scheduler is not None:
            scheduler.step()
        for logger in loggers:
            logger.log_metrics(row, step=epoch)
        if improved:
            save_checkpoint(fabric, best, {"model": wrapped, "settings": settings})
        save_checkpoint(fabric, last, {**state, "history": history, "settings": settings})
    load_checkpoint(fabric, best, {"model": wrapped})
    return history


def _train_loader(fabric: Fabric, train_data: Any, options: TrainingOptions) -> EpisodeLoader:
    share = fabric.world_size * options.accumulate
    if options.train_episodes % share:
        raise ValueError(
            f"train_episodes={options.train_episodes} must be a multiple of devices x accumulate "
            f"= {fabric.world_size} x {options.accumulate} = {share}"
        )
    return EpisodeLoader(
        train_data, options.n_way, options.k_shot, options.n_query, options.train_episodes,
        options.seed, rank=fabric.global_rank, world_size=fabric.world_size,
        num_workers=options.num_workers, pin_memory=fabric.device.type == "cuda",
        persistent_workers=options.num_workers > 0,
    )  # fmt: skip


def _optimizer(fabric: Fabric, model: FewShotModel, options: TrainingOptions) -> Optimizer:
    make = OPTIMIZERS[options.optimizer]
    arguments = parse_assignments(options.optimizer_options)
    if "fused" in inspect.signature(make).parameters:
        # Under 16-mixed, a fused step unscales gradients itself, so they could not be clipped.
        arguments["fused"] = getattr(fabric.strategy.precision, "scaler", None) is None
    return make(model.parameters(), lr=options.lr, weight_decay=options.weight_decay, **arguments)


def _run_epoch(
    fabric: Fabric,
    model: Any,
    optimizer: Any,
    loader: EpisodeLoader,
    val_data: Any,
    options: TrainingOptions,
    epoch: int,
) -> dict[str, float]:
    """Train and validate one epoch; return its log row."""
    start = time.perf_counter()
    torch.manual_seed(hash((options.seed, epoch, fabric.global_rank)))
    loss, train_accuracy = _train_epoch(fabric, model, optimizer, loader, options, epoch)
    seconds = time.perf_counter() - start
    try:
        result = evaluate(
            model, val_data, options.n_way, options.k_shot, options.n_query, options.val_episodes,
            seed=options.eval_seed, fabric=fabric,
        )  # fmt: skip
    except FloatingPointError as error:
        _refuse_nan(math.nan, f"the validation loss became nan after epoch {epoch} ({error})")
        raise
    further = [name for name in result.values if name not in ("accuracy", "loss")]
    _refuse_nan(result.loss, f"the validation loss became {result.loss} after epoch {epoch}")
    fabric.print(
        f"epoch {epoch:3d}  loss {loss:.4f}  train {100 * train_accuracy:5.2f} %  val {result}  "
        f"{seconds:.1f} s"
    )
    return {
        "epoch": epoch,
        "train_loss": loss,
        "train_accuracy": train_accuracy,
        "val_loss": result.loss,
        "val_accuracy": result.accuracy,
        **{f"val_{name}": float(result.values[name].mean()) for name in further},
        "lr": optimizer.param_groups[0]["lr"],
        "seconds": seconds,
    }


def _train_epoch(
    fabric: Fabric,
    model: Any,
    optimizer: Any,
    loader: EpisodeLoader,
    options: TrainingOptions,
    epoch: int,
) -> tuple[float, float]:
    """Train for one epoch; mean loss and accuracy over all ranks."""
    model.train()
    total = torch.zeros(2, device=fabric.device)
    with progress(fabric, loader, f"epoch {epoch}") as bar:
        for turn, episode in enumerate(bar, start=1):
            step = turn % options.accumulate == 0
            with fabric.no_backward_sync(model, enabled=not step):
                loss, hits = episode_loss(model, fabric.to_device(episode), options.penalty_weight)
                fabric.backward(loss / options.accumulate)
            total += torch.stack([loss.detach(), hits])
            if step:
                if options.clip_norm is not None:
                    # Infinite gradients are for the loss scaling of 16-mixed to skip; without it
                    # they make the next loss NaN, which is refused below.
                    fabric.clip_gradients(
                        model, optimizer, max_norm=options.clip_norm, error_if_nonfinite=False
                    )
                optimizer.step()
                optimizer.zero_grad()
            # Reading the loss waits for the GPU, so it is read only now and then.
            if turn % 10 == 0 or turn == len(loader):
                mean_loss, mean_accuracy = (total / turn).tolist()
                _refuse_nan(
                    mean_loss, f"the loss became {mean_loss} in epoch {epoch} by episode {turn}"
                )
                bar.set_postfix(loss=f"{mean_loss:.3f}", accuracy=f"{100 * mean_accuracy:.1f}%")
    mean = fabric.all_reduce(total / len(loader), reduce_op="mean")
    return float(mean[0]), float(mean[1])


def _refuse_nan(loss: float, what: str) -> None:
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"{what}; start anew with a lower lr, a clip_norm, or precision 32-true"
        )


def _scheduler(optimizer: Optimizer, options: TrainingOptions) -> Any:
    schedule: LRScheduler | ReduceLROnPlateau | None = None
    if options.scheduler == "plateau":
        schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=10, min_lr=1e-5)
    elif options.scheduler == "cosine":
        schedule = CosineAnnealingLR(optimizer, T_max=options.epochs)
    return schedule


def _fixed_options(options: TrainingOptions) -> dict[str, Any]:
    """Options that must stay the same when a run goes on, since weights depend on them."""
    free = {"patience", "resume", "num_workers", "accelerator", "devices"}
    free |= {"test_episodes", "test_runs"}
    if options.scheduler != "cosine":  # which anneals over all epochs
        free.add("epochs")
    return {name: value for name, value in asdict(options).items() if name not in free}


def _finished(history: list[dict[str, float]], options: TrainingOptions) -> bool:
    if len(history) >= options.epochs:
        return True
    validation = [row["val_accuracy"] for row in history]
    since_best = len(history) - 1 - validation.index(max(validation)) if validation else 0
    return 0 < options.patience <= since_best


def _resume(
    fabric: Fabric,
    path: Path,
    state: dict[str, Any],
    settings: dict[str, Any],
    loggers: Sequence[Logger],
) -> list[dict[str, float]]:
    """Restore a run from its last checkpoint and hand its rows to the loggers again."""
    # Settings first, for with another model the state does not fit.
    started_with = load_checkpoint(fabric, path, {})["settings"]
    names = sorted(started_with.keys() | settings.keys())
    changed = [name for name in names if started_with.get(name) != settings.get(name)]
    if changed:
        before, now = (
            ", ".join(f"{name}={values.get(name)!r}" for name in changed)
            for values in (started_with, settings)
        )
        raise ValueError(
            f"cannot resume {path}: it was started with {before}, but now there is {now}; give the "
            "same, or another output folder"
        )
    rest = load_checkpoint(fabric, path, state)
    fabric.print(f"resuming {path} after epoch {len(rest['history']) - 1}")
    for row in rest["history"]:
        for logger in loggers:
            logger.log_metrics(row, step=int(row["epoch"]))
    return rest["history"]
