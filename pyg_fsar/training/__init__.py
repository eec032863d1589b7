"""The Fabric loop that all example scripts share: options, training, evaluation, whole runs."""

from pyg_fsar.training.checkpoint import load_checkpoint, save_checkpoint
from pyg_fsar.training.evaluation import (
    EvaluationResult,
    embed_dataset,
    evaluate,
    evaluate_one_shot,
)
from pyg_fsar.training.experiment import (
    build_encoder,
    build_model,
    clip_transform,
    draw_pictures,
    format_table,
    launch,
    result_row,
    run,
)
from pyg_fsar.training.fit import episode_loss, fit
from pyg_fsar.training.options import ModelOptions, Options, TrainingOptions

__all__ = [
    "EvaluationResult",
    "ModelOptions",
    "Options",
    "TrainingOptions",
    "build_encoder",
    "build_model",
    "clip_transform",
    "draw_pictures",
    "embed_dataset",
    "episode_loss",
    "evaluate",
    "evaluate_one_shot",
    "fit",
    "format_table",
    "launch",
    "load_checkpoint",
    "result_row",
    "run",
    "save_checkpoint",
]
