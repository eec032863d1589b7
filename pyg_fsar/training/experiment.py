"""Whole runs: what the example scripts have in common beyond the training loop."""

from __future__ import annotations

import inspect
import os
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers import CSVLogger, TensorBoardLogger
from torch_geometric.transforms import BaseTransform, Compose

from pyg_fsar.data import Episode
from pyg_fsar.datasets import SkeletonDataset
from pyg_fsar.loader import EpisodeSampler
from pyg_fsar.matching import MATCHERS, ActivatedCost, Matcher, build_matcher
from pyg_fsar.nn import BACKBONES, FewShotModel, PairNorm, RankMax, SkeletonEncoder
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.training.evaluation import EvaluationResult, evaluate, evaluate_one_shot
from pyg_fsar.training.fit import fit
from pyg_fsar.training.options import ModelOptions, TrainingOptions
from pyg_fsar.transforms import (
    AlignView,
    CenterOnJoint,
    RandomRotate,
    RandomScale,
    RandomShear,
    RemoveMeanPose,
    ResampleFrames,
    ScaleByTorso,
)
from pyg_fsar.visualization.style import new_figure

__all__ = [
    "build_encoder",
    "build_model",
    "clip_transform",
    "draw_pictures",
    "format_table",
    "launch",
    "result_row",
    "run",
]


def launch(options: TrainingOptions) -> Fabric:
    """Start Fabric, and with several devices the other processes unless ``fabric run`` did."""
    fabric = Fabric(
        accelerator=options.accelerator,
        devices=options.devices,
        precision=options.precision,  # type: ignore[arg-type]
    )
    if not os.environ.get("LT_CLI_USED"):
        fabric.launch()
    return fabric


def clip_transform(num_frames: int, train: bool, motion_only: bool = False) -> BaseTransform:
    """The usual preparation of 3D clips.

    A clip is centred on its first frame, turned to face the camera and scaled by the torso, so
    that place, view and body size do not matter. In training, frames are drawn at random from
    equal segments and bodies turned, sheared and stretched a little.

    Args:
        num_frames: Number of frames of every clip.
        train: Add what is random.
        motion_only: Leave only what moves, see :class:`~pyg_fsar.transforms.RemoveMeanPose`.
    """
    mode = "random_segments" if train else "uniform"
    steps = [ResampleFrames(num_frames, mode), CenterOnJoint(), AlignView(), ScaleByTorso()]
    if train:
        steps += [RandomRotate((10, 15, 10)), RandomScale((0.85, 1.15)), RandomShear(0.1)]
    if motion_only:
        steps.append(RemoveMeanPose())
    return Compose(steps)


def build_encoder(
    options: ModelOptions, skeleton: str | Skeleton, in_channels: int = 3
) -> SkeletonEncoder:
    """The encoder that the options name, with PairNorm or DropEdge inside if they say so."""
    backbone = BACKBONES[options.backbone]
    given = {
        "num_blocks": options.blocks,
        "kernel_size": options.kernel_size,
        "dropout": options.dropout,
        "input_norm": options.input_norm,
        "norm": PairNorm(options.scale) if options.spatial == "pairnorm" else None,
        "drop_edge": options.drop_rate if options.spatial == "dropedge" else 0.0,
    }
    return backbone(skeleton, in_channels, **_taken(given, backbone))


def build_model(
    options: ModelOptions, skeleton: str | Skeleton, in_channels: int = 3
) -> FewShotModel:
    """An encoder, a matcher, and what keeps joints apart, as the options say.

    With activation, it is the matcher's own frame cost that compares the activated clips.
    """
    encoder = build_encoder(options, skeleton, in_channels)
    cost_class, aligner = MATCHERS[options.matcher]
    given = {"gamma": options.gamma, "channels": encoder.out_channels}
    cost = cost_class(**_taken(given, cost_class))
    if options.spatial in ("activation", "full") and not isinstance(cost, ActivatedCost):
        cost = ActivatedCost(encoder.out_channels, cost=cost)
    penalty = RankMax(options.rank_method) if options.spatial in ("rankmax", "full") else None
    matcher = build_matcher(
        options.matcher,
        cost=cost,
        shots=options.shots,
        divergence=options.divergence,
        penalty=penalty,
        **_taken(given, aligner),
    )
    return FewShotModel(encoder, matcher)


def _taken(given: Mapping[str, Any], function: Callable[..., Any]) -> dict[str, Any]:
    """What of the given a function takes; what is None is left as published."""
    known = inspect.signature(function).parameters
    return {name: value for name, value in given.items() if name in known and value is not None}


def run(
    fabric: Fabric,
    train_data: SkeletonDataset,
    val_data: SkeletonDataset,
    test_data: SkeletonDataset,
    training: TrainingOptions,
    model: ModelOptions,
    folder: str | Path,
    exemplars: Sequence[int] | None = None,
    settings: Mapping[str, Any] | None = None,
    drawn_data: SkeletonDataset | None = None,
) -> EvaluationResult:
    """Train a model, test the best epoch and leave everything in a folder.

    The folder then holds ``metrics.csv``, a TensorBoard log, ``best.ckpt`` and ``last.ckpt``,
    ``joint_similarity.png`` and ``alignment.png``.

    Args:
        fabric: A launched Fabric.
        train_data: Training clips with random transforms.
        val_data: Validation clips with deterministic transforms.
        test_data: Test clips with deterministic transforms.
        training: How to train and test.
        model: What to train.
        folder: Where results go.
        exemplars: Test by the one-shot protocol with these clips of ``test_data`` as support,
            instead of by episodes.
        settings: Plain values that describe the data; a run resumes only with the same ones.
        drawn_data: As for :func:`draw_pictures`.

    Raises:
        ImportError: If matplotlib or TensorBoard is missing.
        FileExistsError: If the folder holds a run that is not to be resumed.
    """
    new_figure(1, 1)  # refuses to train for hours where the pictures cannot be drawn
    folder = Path(folder)
    torch.manual_seed(training.seed)  # the same first weights on every rank
    few_shot = build_model(model, train_data.skeleton)
    loggers = [
        CSVLogger(folder, name="", version="", flush_logs_every_n_steps=1),
        # A resumed run logs its rows again, in place of those in earlier event files.
        TensorBoardLogger(folder, name="", version="tensorboard", purge_step=0),
    ]
    settings = {**asdict(model), **(settings or {})}
    with warnings.catch_warnings():
        # Nothing is lost when a resumed run writes metrics.csv anew.
        warnings.filterwarnings("ignore", message="Experiment logs directory")
        fit(fabric, few_shot, train_data, val_data, training, folder, settings, loggers)
    for logger in loggers:
        logger.finalize("success")
    if exemplars is None:
        result = evaluate(fabric, few_shot, test_data, **training.test_protocol())
    else:
        result = evaluate_one_shot(fabric, few_shot, test_data, exemplars)
    if fabric.is_global_zero:
        draw_pictures(few_shot, test_data, training, folder, drawn_data)
    fabric.barrier()
    return result


def draw_pictures(
    model: FewShotModel,
    dataset: SkeletonDataset,
    options: TrainingOptions,
    folder: Path,
    drawn_data: SkeletonDataset | None = None,
) -> None:
    """Show how a model sees one query of the first episode: which joints its embedding keeps
    apart, and how it aligns the query with a support clip of the same class.

    Of all queries the one with the most confident right answer is drawn, so that the picture shows
    how a decision comes about, not how good the model is.

    Args:
        model: A trained model.
        dataset: Clips with deterministic transforms.
        options: Decides the episode.
        folder: Receives ``joint_similarity.png`` and ``alignment.png``.
        drawn_data: The same clips as they are to be drawn, where the transforms of ``dataset``
            leave no body to be seen; resampled to as many frames.
    """
    from pyg_fsar.visualization import plot_alignment, plot_joint_similarity

    sampler = EpisodeSampler(
        dataset.labels, options.n_way, options.k_shot, options.n_query, 1, options.eval_seed
    )
    numbers = next(iter(sampler))
    num_support = options.n_way * options.k_shot
    clips = dataset.gather(numbers)
    episode = Episode.from_clips(clips[:num_support], clips[num_support:])
    moved = episode.to(next(model.parameters(), torch.empty(0)).device)
    lengths = moved.inputs()[-1]
    model.eval()
    with torch.no_grad():
        embedded = model.embed(moved.bodies, moved.body_to_clip, moved.num_clips, lengths)
        logits = model(*moved.inputs())[0].softmax(dim=-1).cpu()
    right = logits.gather(1, episode.query_y[:, None]).squeeze(1)
    query = int((right * (logits.argmax(dim=-1) == episode.query_y)).argmax())
    support = int((episode.support_y == episode.query_y[query]).nonzero()[0])
    pair = num_support + query, support
    query_embedding, support_embedding = (
        embedded[clip] if lengths is None else embedded[clip, : lengths[clip]] for clip in pair
    )
    drawn = (drawn_data or dataset).gather([numbers[clip] for clip in pair])
    action = textwrap.fill(dataset.class_names[int(drawn[0].y)], 60)

    middle = drawn[0].num_frames // 2
    panels = {
        "coordinates": drawn[0].bodies[0, middle],
        "embedding": query_embedding[query_embedding.size(0) // 2].cpu(),
    }
    figure = plot_joint_similarity(
        panels, dataset.skeleton, title=f"Similarity of joints, middle frame of '{action}'"
    )
    figure.savefig(folder / "joint_similarity.png", dpi=150, bbox_inches="tight")
    alignment = cast(Matcher, model.matcher).align(query_embedding, support_embedding)
    figure = plot_alignment(
        alignment.cost.cpu(), alignment.weights.cpu(), *drawn, view=(0, 1), title=action
    )
    figure.savefig(folder / "alignment.png", dpi=150, bbox_inches="tight")


def format_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as an aligned Markdown table; columns in the order in which they first appear."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, *([str(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )


def result_row(method: str, result: EvaluationResult, unit: str = "episodes") -> dict[str, str]:
    """A row for :func:`format_table`.

    Args:
        method: What was evaluated.
        result: Its result.
        unit: What the accuracies of the result are of; ``"queries"`` with
            :func:`evaluate_one_shot`.
    """
    return {
        "method": method,
        "accuracy (%)": f"{100 * result.accuracy:.2f}",
        "95 % interval": f"± {100 * result.interval:.2f}",
        unit: str(result.accuracies.numel()),
        "seconds": f"{result.seconds:.1f}",
    }
