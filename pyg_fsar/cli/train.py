"""``pyg-fsar train``: train a model on a folder of clips."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Subset

from pyg_fsar.cli.command import Command
from pyg_fsar.datasets import SkeletonFolder
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.training import (
    ModelOptions,
    TrainingOptions,
    build_model,
    clip_transform,
    evaluate,
    fit,
    launch,
)
from pyg_fsar.training.run import default_loggers

__all__ = ["TRAIN"]

NUM_FRAMES = 30


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("root", type=Path, help="folder with one subfolder per class")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument(
        "--val-fraction", type=float, default=0.25,
        help="fraction of classes, drawn by the seed, that choose the best epoch (default: 0.25)",
    )  # fmt: skip
    TrainingOptions.add_arguments(
        parser, epochs=10, train_episodes=50, val_episodes=100, scheduler="cosine", seed=0
    )
    ModelOptions.add_arguments(parser, blocks=2, kernel_size=3, input_norm="channel")


def _run(options: Namespace) -> dict[str, Any]:
    training = TrainingOptions.from_arguments(options)
    model_options = ModelOptions.from_arguments(options)
    train, val, names = _splits(options, training)
    fabric = launch(training)
    torch.manual_seed(training.seed)
    model = build_model(model_options, "body15", train.dataset[0].x.size(-1))
    history = fit(
        fabric, model, train, val, training, options.out, {"names": sorted(names)},
        default_loggers(options.out),
    )  # fmt: skip
    best = evaluate(model, val, training.n_way, training.k_shot, training.n_query, 200)
    folder = options.out / "model"
    if fabric.is_global_zero:
        FewShotModel.save_pretrained(model, folder)
    return {
        "model": str(folder),
        "epochs": len(history),
        "validation accuracy": best.accuracy,
        "95 % interval": best.interval,
        "validation classes": names,
    }


def _splits(options: Namespace, training: TrainingOptions) -> tuple[Subset, Subset, list[str]]:
    """Clips of training and validation classes, and the names of the latter."""
    if not 0 < options.val_fraction < 1:
        raise ValueError(f"--val-fraction must lie between 0 and 1, got {options.val_fraction}")
    data = [
        SkeletonFolder(
            options.root,
            skeleton="body15",
            transform=clip_transform(NUM_FRAMES, train=train, motion_only=True),
        )
        for train in (True, False)
    ]
    labels = data[0].labels.numpy()
    classes = np.random.default_rng(training.seed).permutation(np.unique(labels))
    num_val = max(training.n_way, round(options.val_fraction * len(classes)))
    if len(classes) - num_val < training.n_way:
        raise ValueError(
            f"{options.root} has {len(classes)} classes, but {training.n_way}-way episodes need "
            f"{2 * training.n_way}: {training.n_way} for training and as many others to choose the "
            "best epoch; give a smaller --n-way, or more classes"
        )
    held_out = classes[:num_val]
    masks = ~np.isin(labels, held_out), np.isin(labels, held_out)
    parts: list[Subset] = [
        Subset(d, np.flatnonzero(m).tolist()) for d, m in zip(data, masks, strict=True)
    ]
    return parts[0], parts[1], [data[0].class_names[label] for label in sorted(held_out)]


TRAIN = Command(
    "Train a model on a folder of clips; classes apart choose the best epoch.",
    (
        "pyg-fsar train my_clips/ --out runs/mine",
        "pyg-fsar train my_clips/ --out runs/mine --matcher dastm --k-shot 5 --resume",
    ),
    _add_arguments,
    _run,
)
