"""Whole runs: train, test, report."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers import CSVLogger, Logger, TensorBoardLogger

from pyg_fsar.data import gather_clips
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.nn.precision import warn_slow_bf16
from pyg_fsar.training.build import build_model
from pyg_fsar.training.evaluation import EvaluationResult, evaluate, evaluate_one_shot
from pyg_fsar.training.fit import fit
from pyg_fsar.training.model_options import ModelOptions
from pyg_fsar.training.options import TrainingOptions
from pyg_fsar.training.report import draw_pictures, format_table, result_row
from pyg_fsar.visualization.style import new_figure

__all__ = ["channels_of", "default_loggers", "launch", "run", "run_and_tell"]


def launch(options: TrainingOptions) -> Fabric:
    """Start Fabric, and with several devices the other processes unless ``fabric run`` did.

    It warns if the precision makes this machine slower.
    """
    fabric = Fabric(
        accelerator=options.accelerator,
        devices=options.devices,
        precision=options.precision,  # type: ignore[arg-type]
    )
    if not os.environ.get("LT_CLI_USED"):
        fabric.launch()
    if fabric.is_global_zero:
        warn_slow_bf16(options.precision, fabric.device)
    return fabric


def channels_of(dataset: Any) -> int:
    """Number of channels of a joint, as the transforms of a dataset leave them.

    Args:
        dataset: Any sequence of clips.
    """
    with torch.random.fork_rng(devices=[]):  # the transforms may be random
        return gather_clips(dataset, [0])[0].x.size(-1)


def default_loggers(folder: str | Path) -> list[Logger]:
    """A CSV file and, where TensorBoard is installed, a log for it.

    Args:
        folder: Receives ``metrics.csv`` and ``tensorboard``.
    """
    loggers: list[Logger] = [CSVLogger(folder, name="", version="", flush_logs_every_n_steps=1)]
    if find_spec("tensorboard") is not None:
        # A resumed run logs its rows again, in place of those in earlier event files.
        loggers.append(TensorBoardLogger(folder, name="", version="tensorboard", purge_step=0))
    return loggers


def run(
    fabric: Fabric,
    train_data: Any,
    val_data: Any,
    test_data: Any,
    training: TrainingOptions,
    model: ModelOptions | FewShotModel,
    folder: str | Path,
    exemplars: Sequence[int] | None = None,
    settings: Mapping[str, Any] | None = None,
    drawn_data: Any = None,
    loggers: Sequence[Logger] | None = None,
    pictures: bool = True,
) -> EvaluationResult:
    """Train a model, test the best epoch and leave everything in a folder.

    The folder then holds what the loggers write, ``best.ckpt`` and ``last.ckpt``, and the pictures
    ``joint_similarity.png`` and ``alignment.png``.

    Args:
        fabric: A launched Fabric.
        train_data: Training clips with random transforms.
        val_data: Validation clips with deterministic transforms.
        test_data: Test clips with deterministic transforms.
        training: How to train and test.
        model: What to train: options of a new model, the number of whose input channels is that of
            the data, or a model to go on from.
        folder: Where results go.
        exemplars: Test by the one-shot protocol with these clips of ``test_data`` as support,
            instead of by episodes.
        settings: Plain values that describe the data; a run resumes only with the same ones.
        drawn_data: As for :func:`draw_pictures`.
        loggers: Loggers of Fabric; :func:`default_loggers` if not given.
        pictures: Draw the two pictures.

    Raises:
        ImportError: If matplotlib, which draws the pictures, is missing.
        FileExistsError: If the folder holds a run that is not to be resumed.
    """
    if pictures:
        new_figure(1, 1)  # refuses to train for hours where the pictures cannot be drawn
    folder = Path(folder)
    in_channels = channels_of(train_data)
    torch.manual_seed(training.seed)  # the same first weights on every rank
    if isinstance(model, ModelOptions):
        few_shot, described = build_model(model, train_data.skeleton, in_channels), asdict(model)
    else:
        few_shot, described = model, {"start": model.fingerprint}
    loggers = default_loggers(folder) if loggers is None else loggers
    settings = {**described, **(settings or {})}
    fit(fabric, few_shot, train_data, val_data, training, folder, settings, loggers)
    for logger in loggers:
        logger.finalize("success")
    if exemplars is None:
        result = evaluate(few_shot, test_data, **training.test_protocol(), fabric=fabric)
    else:
        result = evaluate_one_shot(few_shot, test_data, exemplars, fabric=fabric)
    if pictures and fabric.is_global_zero:
        draw_pictures(few_shot, test_data, training, folder, drawn_data)
    fabric.barrier()
    return result


def run_and_tell(
    fabric: Fabric,
    train_data: Any,
    val_data: Any,
    test_data: Any,
    training: TrainingOptions,
    model: ModelOptions | FewShotModel,
    folder: str | Path,
    data: str,
    method: str,
    exemplars: Sequence[int] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> EvaluationResult:
    """As :func:`run`, and print the result as a table, which also goes to ``results.md``.

    Args:
        fabric: A launched Fabric.
        train_data: Training clips with random transforms.
        val_data: Validation clips with deterministic transforms.
        test_data: Test clips with deterministic transforms.
        training: How to train and test.
        model: As for :func:`run`.
        folder: Where results go.
        data: What the data is, in words.
        method: Likewise the model.
        exemplars: As for :func:`run`.
        settings: As for :func:`run`; ``data`` is one of them.
    """
    sizes = (len(clips) for clips in (train_data, val_data, test_data))
    fabric.print("{}: {} training, {} validation, {} test clips".format(data, *sizes))
    result = run(
        fabric, train_data, val_data, test_data, training, model, folder, exemplars,
        {"data": data, **(settings or {})},
    )  # fmt: skip
    one_shot = exemplars is not None
    ways = "one-shot" if one_shot else f"{training.n_way}-way {training.k_shot}-shot"
    name = f"{method}, {ways}, {data}"
    table = format_table([result_row(name, result, "queries" if one_shot else "episodes")])
    if fabric.is_global_zero:
        Path(folder, "results.md").write_text(table + "\n")
    fabric.print(f"\n{table}\n\nEverything is in {folder}")
    return result
