"""``pyg-fsar train``: train a model on a folder of clips."""

from __future__ import annotations

import copy
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Subset
from torch_geometric.transforms import Compose

from pyg_fsar.cli.command import Command
from pyg_fsar.cli.folders import add_folder_arguments, open_folder, require_clips
from pyg_fsar.cli.models import layout_of
from pyg_fsar.datasets import SkeletonFolder
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.saving import checksum
from pyg_fsar.training import (
    ModelOptions,
    TrainingOptions,
    build_model,
    calibrate,
    channels_of,
    clip_transform,
    default_loggers,
    evaluate,
    fit,
    launch,
)
from pyg_fsar.transforms import MapJoints, augmented
from pyg_fsar.weights import load_pretrained, save_model

__all__ = ["TRAIN"]

# Options of the preparation of clips for a new model, and their defaults.
PREPARED_BY = {"skeleton": "body15", "num_frames": 30, "motion_only": True}


def _add_arguments(parser: ArgumentParser) -> None:
    add_folder_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument(
        "--pretrained",
        help="model to go on from, with its preparation of clips: a folder, or body15",
    )
    parser.add_argument("--skeleton", help="layout that the model sees (default: body15)")
    parser.add_argument("--num-frames", type=int, help="frames of every clip (default: 30)")
    parser.add_argument(
        "--motion-only", action=BooleanOptionalAction,
        help="subtract each clip's mean pose (default: yes)",
    )  # fmt: skip
    parser.add_argument(
        "--val-fraction", type=float, default=0.25,
        help="fraction of classes, drawn by the seed, that choose the best epoch (default: 0.25)",
    )  # fmt: skip
    TrainingOptions.add_arguments(
        parser, but=("test_episodes", "test_runs"),
        epochs=10, train_episodes=50, val_episodes=100, scheduler="cosine", seed=0,
    )  # fmt: skip
    ModelOptions.add_arguments(parser, blocks=2, kernel_size=3, input_norm="channel")


def _run(options: Namespace) -> dict[str, Any]:
    training = TrainingOptions.from_arguments(options)
    data = {name: getattr(options, name) for name in PREPARED_BY}
    model: FewShotModel | None = None
    start: str | None = None
    if options.pretrained is None:
        model_options = ModelOptions.from_arguments(options)
        data = {name: PREPARED_BY[name] if data[name] is None else data[name] for name in data}
        clips = open_folder(options.root, options, data["skeleton"])
        mapping = [MapJoints(data["skeleton"])]
        prepared = {
            mode: clip_transform(data["num_frames"], mode, data["motion_only"], clips.skeleton.dims)
            for mode in (True, False)
        }
    else:
        ModelOptions.refuse_any(options, "the model is that of --pretrained")
        if given := [name for name, value in data.items() if value is not None]:
            raise ValueError(f"{given[0]} has no effect: --pretrained has its own preparation")
        model, transform = load_pretrained(options.pretrained)
        if next(model.parameters(), None) is None:
            raise ValueError(f"model '{options.pretrained}' has no weights that could be trained")
        clips = open_folder(options.root, options, layout_of(transform))
        # Not its path, where another model may be by the time that the run is resumed.
        start = checksum((model.fingerprint + repr(transform)).encode())
        steps = transform.transforms if isinstance(transform, Compose) else [transform]
        mapping, prepared = [], {True: augmented(transform), False: Compose(steps)}
    train, val, names = _splits(options, training, clips, prepared)
    require_clips(clips, training.n_way, training.k_shot, training.n_query)
    fabric = launch(training)
    torch.manual_seed(training.seed)
    if model is None:
        model = build_model(model_options, clips.skeleton, channels_of(val))
    settings = {"names": names, "content_of_pretrained": start, **data}
    loggers = default_loggers(options.out)
    history = fit(fabric, model, train, val, training, options.out, settings, loggers)
    protocol = training.test_protocol() | {"num_episodes": training.val_episodes}
    del protocol["runs"]
    best = evaluate(model, val, **protocol)
    folder = options.out / "model"
    if fabric.is_global_zero:
        # The temperature at which the validation classes are most likely.
        model = calibrate(model, val, **protocol)
        save_model(folder, model, Compose([*mapping, *prepared[False].transforms]))
    return {
        "model": str(folder),
        "epochs": len(history),
        "validation_accuracy": best.accuracy,
        "interval_95": best.interval,
        "validation_classes": names,
    }


def _splits(
    options: Namespace,
    training: TrainingOptions,
    clips: SkeletonFolder,
    prepared: dict[bool, Any],
) -> tuple[Subset, Subset, list[str]]:
    """Clips of training and validation classes, and the names of the latter."""
    if not 0 < options.val_fraction < 1:
        raise ValueError(f"--val-fraction must lie between 0 and 1, got {options.val_fraction}")
    labels = clips.labels.numpy()
    classes = np.random.default_rng(training.seed).permutation(np.unique(labels))
    n_way = training.n_way
    val_way = training.eval_n_way or n_way
    num_val = max(val_way, round(options.val_fraction * len(classes)))
    if len(classes) - num_val < n_way:
        raise ValueError(
            f"{options.root} has {len(classes)} classes, but {n_way}-way episodes need "
            f"{n_way + val_way}: {n_way} for training and {val_way} others to choose the best "
            "epoch; give a smaller --n-way or --eval-n-way, or more classes"
        )
    held_out = np.isin(labels, classes[:num_val])
    parts: list[Subset] = []
    for train, mask in ((True, ~held_out), (False, held_out)):
        part = copy.copy(clips)  # which shares the store
        part.transform = prepared[train]
        parts.append(Subset(part, np.flatnonzero(mask).tolist()))
    names = sorted(clips.class_names[label] for label in classes[:num_val])
    return parts[0], parts[1], names


TRAIN = Command(
    "Train a model on a folder of clips; classes apart choose the best epoch.",
    (
        "pyg-fsar train my_clips/ --out runs/mine",
        "pyg-fsar train my_clips/ --out runs/dastm --matcher dastm --n-query 5 --epochs 20",
        "pyg-fsar train my_clips/ --out runs/tuned --pretrained runs/mine/model --lr 1e-4",
    ),
    _add_arguments,
    _run,
)
