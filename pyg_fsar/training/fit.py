"""The training loop that all example scripts share."""

from __future__ import annotations

import inspect
import math
import time
import warnings
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
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, ReduceLROnPlateau

from pyg_fsar.data import Episode, gather_clips, labels_of
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.loader import EpisodeLoader
from pyg_fsar.metrics import accuracy
from pyg_fsar.nn.evaluation_mode import evaluation_mode
from pyg_fsar.nn.hooks import warn_of_uncalled_hooks
from pyg_fsar.training.checkpoint import load_checkpoint, save_checkpoint
from pyg_fsar.training.clip_losses import PretrainingModel, clip_vectors
from pyg_fsar.training.evaluation import evaluate
from pyg_fsar.training.optimizers import OPTIMIZERS
from pyg_fsar.training.options import TrainingOptions, parse_assignments
from pyg_fsar.training.progress import progress

__all__ = ["episode_loss", "fit", "trained_module", "training_loss"]


def episode_loss(
    model: torch.nn.Module,
    episode: Episode,
    penalty_weight: float = TrainingOptions.penalty_weight,
    weight: float = TrainingOptions.episodic,
) -> tuple[Tensor, Tensor]:
    """Loss of Ma et al. (ECCV 2022) and accuracy of an episode.

    The loss is the mean negative log-likelihood of the queries over the softmax of their logits,
    times its weight, plus the weighted penalty.

    Args:
        model: A :class:`~pyg_fsar.FewShotModel`.
        episode: On the model's device.
        penalty_weight: Weight of the penalty.
        weight: Weight of the log-likelihood.
    """
    logits, penalty = model(episode)
    loss = weight * F.cross_entropy(logits, episode.query_y) + penalty_weight * penalty
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

    With ``options.classification`` or ``options.contrast`` the clips of an episode are also
    classified among all training classes and contrasted with each other, see
    :class:`~pyg_fsar.training.ClipHead`, whose weights only ``last.ckpt`` keeps.

    After every epoch ``last.ckpt`` holds all that is needed to go on, and ``best.ckpt`` the best
    model so far. Since every epoch seeds itself from ``options.seed`` and its number, a run that
    was interrupted and resumed gives the same losses as one that was not.

    Args:
        fabric: A launched Fabric.
        model: The model; its weights decide nothing but the start, and with ``options.anchor``
            what later ones are drawn to.
        train_data: Training clips, usually with random transforms.
        val_data: Validation clips of other classes, with deterministic transforms.
        options: Everything else.
        folder: Where the checkpoints go.
        settings: Plain values that describe the model; a run resumes only with the same ones.
        loggers: Loggers of Fabric, each of which receives one row per epoch.
        optimizer: An optimizer of the model's parameters, or a function that makes one of them, in
            place of the one that ``options`` name; a function if there is a head to train, too.

    Returns:
        One row per epoch: epoch, losses, accuracies (0 to 1), further measures of
        :data:`~pyg_fsar.metrics.QUERY_METRICS`, learning rate and seconds.

    Raises:
        FloatingPointError: If the loss is NaN or infinite; the last checkpoint stays as it was.
        FileExistsError: If the folder holds a run that is not to be resumed.
        ValueError: If episodes do not divide among ranks and accumulation steps, a resumed run was
            started with other options, or an option does not fit the model.
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
    if options.has_clip_losses and isinstance(optimizer, Optimizer):
        raise ValueError(
            "the optimizer does not know the weights of the head for classification and contrast; "
            "give a function that makes one of parameters"
        )
    has_penalty = model.penalty is not None or hasattr(model.matcher, "pair_penalty")
    if not has_penalty and options.penalty_weight not in (0, TrainingOptions.penalty_weight):
        raise ValueError(
            f"penalty_weight={options.penalty_weight} (--lambda) has no effect: the model has "
            "no penalty; leave it out, or give a penalty such as RankMax() (--penalty rankmax)"
        )
    trained = trained_module(model, train_data, options)
    made = _optimizer(fabric, trained, options) if optimizer is None else optimizer
    made = made if isinstance(made, Optimizer) else made(trained.parameters())
    scheduler = _scheduler(made, options)
    wrapped, wrapped_optimizer = fabric.setup(trained, made)

    settings = {**(settings or {}), **_fixed_options(options)}
    state: dict[str, Any] = {
        "model": model,
        "optimizer": wrapped_optimizer,
        "scheduler": scheduler,
        "precision": fabric.strategy.precision,  # the loss scale of 16-mixed
    }
    if isinstance(trained, PretrainingModel):
        state["head"] = trained.head
    if options.anchor:
        state["start"] = {name: p.detach().clone() for name, p in model.named_parameters()}
    history: list[dict[str, float]] = []
    if options.resume and last.is_file():
        history = _resume(fabric, last, state, settings, loggers)
    elif options.resume:
        fabric.print(f"nothing to resume at {last}; starting from the beginning")

    while not _finished(history, options):
        epoch = len(history)
        loader.set_epoch(epoch)
        pull = _pull(model, state.get("start"), options.anchor)
        row = _run_epoch(
            fabric, wrapped, wrapped_optimizer, loader, pull, model, val_data, options, epoch
        )
        improved = row["val_accuracy"] > max((r["val_accuracy"] for r in history), default=-1.0)
        history.append(row)
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(row["train_loss"])
        elif scheduler is not None:
            scheduler.step()
        for logger in loggers:
            logger.log_metrics(row, step=epoch)
        if improved:
            save_checkpoint(fabric, best, {"model": model, "settings": settings})
        save_checkpoint(fabric, last, {**state, "history": history, "settings": settings})
    load_checkpoint(fabric, best, {"model": model})
    return history


def trained_module(
    model: FewShotModel, train_data: Any, options: TrainingOptions
) -> FewShotModel | PretrainingModel:
    """What :func:`fit` trains: the model, with a head for the losses of clips if there are any. The
    head is the same on all ranks.

    Args:
        model: The model.
        train_data: Training clips.
        options: Options of the training.

    Raises:
        ValueError: If ``options.mirrored`` is set and the matcher cannot mirror.
    """
    if not options.has_clip_losses:
        return model
    warn_of_uncalled_hooks(model, "training with classification or contrast")
    with torch.random.fork_rng(devices=[]), evaluation_mode(model), torch.no_grad():
        torch.manual_seed(options.seed)
        embedded = model.embed(gather_clips(train_data, [0]))
        return PretrainingModel(
            model,
            labels_of(train_data),
            clip_vectors(model, embedded).size(1),
            options.mirrored,
            temperature=0.1 if options.temperature is None else options.temperature,
            learn_temperature=options.learn_temperature,
        )


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


def _optimizer(fabric: Fabric, model: torch.nn.Module, options: TrainingOptions) -> Optimizer:
    make = OPTIMIZERS[options.optimizer]
    arguments = parse_assignments(options.optimizer_options)
    if "fused" in inspect.signature(make).parameters:
        # Under 16-mixed, a fused step unscales gradients itself, so they could not be clipped.
        arguments["fused"] = getattr(fabric.strategy.precision, "scaler", None) is None
    parameters: Any = model.parameters()
    if options.encoder_lr is not None:
        few_shot: Any = model.model if isinstance(model, PretrainingModel) else model
        ours = list(few_shot.encoder.parameters())
        others = [each for each in parameters if all(each is not own for own in ours)]
        if not others or not ours:
            raise ValueError(
                "encoder_lr has no effect, since the model has no weights "
                f"{'outside' if ours else 'in'} its encoder; leave it out and give lr"
            )
        parameters = [{"params": others}, {"params": ours, "lr": options.encoder_lr}]
    return make(parameters, lr=options.lr, weight_decay=options.weight_decay, **arguments)


def _run_epoch(
    fabric: Fabric,
    trained: Any,
    optimizer: Any,
    loader: EpisodeLoader,
    pull: Callable[[], Tensor | float],
    model: FewShotModel,
    val_data: Any,
    options: TrainingOptions,
    epoch: int,
) -> dict[str, float]:
    """Train and validate one epoch; return its log row."""
    start = time.perf_counter()
    torch.manual_seed(hash((options.seed, epoch, fabric.global_rank)))
    loss, train_accuracy = _train_epoch(fabric, trained, optimizer, loader, pull, options, epoch)
    seconds = time.perf_counter() - start
    try:
        protocol = options.test_protocol() | {"num_episodes": options.val_episodes, "runs": 1}
        result = evaluate(model, val_data, **protocol, fabric=fabric)
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
    pull: Callable[[], Tensor | float],
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
                loss, hits = training_loss(model, fabric.to_device(episode), options)
                loss = loss + pull()
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


def training_loss(
    model: torch.nn.Module, episode: Episode, options: TrainingOptions
) -> tuple[Tensor, Tensor]:
    """Weighted sum of all losses of an episode, and its accuracy.

    Args:
        model: What :func:`trained_module` gave.
        episode: A training episode.
        options: Options of the training.

    Shapes:
        - **output:** ``[]`` each
    """
    if not options.has_clip_losses:
        return episode_loss(model, episode, options.penalty_weight, options.episodic)
    (logits, penalty), classification, contrast = model(episode)
    loss = options.episodic * F.cross_entropy(logits, episode.query_y)
    loss = loss + options.penalty_weight * penalty
    loss = loss + options.classification * classification + options.contrast * contrast
    return loss, accuracy(logits.detach(), episode.query_y)


def _pull(
    model: FewShotModel, start: dict[str, Tensor] | None, weight: float
) -> Callable[[], Tensor | float]:
    """A term of the loss that draws weights to those at the start: L2-SP of "Explicit Inductive
    Bias for Transfer Learning with Convolutional Networks" (ICML 2018).
    """
    if start is None:
        return lambda: 0.0
    pairs = [(weights, start[name]) for name, weights in model.named_parameters()]
    return lambda: (
        weight / 2 * torch.stack([(now - then).square().sum() for now, then in pairs]).sum()
    )


def _refuse_nan(loss: float, what: str) -> None:
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"{what}; start anew with a lower lr, a clip_norm, or precision 32-true"
        )


def _scheduler(optimizer: Optimizer, options: TrainingOptions) -> Any:
    schedule: LRScheduler | ReduceLROnPlateau | None = None
    if options.scheduler == "plateau":
        schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=10, min_lr=1e-5)
    elif options.warmup:
        schedule = LambdaLR(optimizer, _with_warmup(options))
    elif options.scheduler == "cosine":
        schedule = CosineAnnealingLR(optimizer, T_max=options.epochs)
    return schedule


def _with_warmup(options: TrainingOptions) -> Callable[[int], float]:
    """Factor of the learning rate in each epoch: rising linearly, then by a cosine or kept."""

    def factor(epoch: int) -> float:
        if epoch < options.warmup:
            return (epoch + 1) / (options.warmup + 1)
        if options.scheduler != "cosine":
            return 1.0
        done = (epoch - options.warmup) / (options.epochs - options.warmup)
        return (1 + math.cos(math.pi * done)) / 2

    return factor


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
    with warnings.catch_warnings():
        # Nothing is lost when a resumed run writes metrics.csv anew.
        warnings.filterwarnings("ignore", message="Experiment logs directory")
        for row in rest["history"]:
            for logger in loggers:
                logger.log_metrics(row, step=int(row["epoch"]))
    return rest["history"]
