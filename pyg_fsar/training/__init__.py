"""The Fabric loop that all example scripts share: options, training, evaluation, whole runs."""

from pyg_fsar.training.build import build_encoder, build_model, build_penalty
from pyg_fsar.training.checkpoint import load_checkpoint, save_checkpoint
from pyg_fsar.training.clip_losses import (
    ClipHead,
    PretrainingModel,
    PretrainingOutput,
    clip_vectors,
)
from pyg_fsar.training.evaluation import (
    EvaluationResult,
    embed_dataset,
    evaluate,
    evaluate_one_shot,
)
from pyg_fsar.training.fit import episode_loss, fit, trained_module, training_loss
from pyg_fsar.training.model_options import SPATIAL, ModelOptions
from pyg_fsar.training.open_set import OpenSetResult, calibrate, evaluate_open_set
from pyg_fsar.training.optimizers import OPTIMIZERS
from pyg_fsar.training.options import Options, TrainingOptions
from pyg_fsar.training.report import draw_pictures, format_table, result_row
from pyg_fsar.training.run import channels_of, default_loggers, launch, run, run_and_tell
from pyg_fsar.training.script import run_script
from pyg_fsar.transforms import clip_transform

__all__ = [
    "OPTIMIZERS",
    "SPATIAL",
    "ClipHead",
    "EvaluationResult",
    "ModelOptions",
    "OpenSetResult",
    "Options",
    "PretrainingModel",
    "PretrainingOutput",
    "TrainingOptions",
    "build_encoder",
    "build_model",
    "build_penalty",
    "calibrate",
    "channels_of",
    "clip_transform",
    "clip_vectors",
    "default_loggers",
    "draw_pictures",
    "embed_dataset",
    "episode_loss",
    "evaluate",
    "evaluate_one_shot",
    "evaluate_open_set",
    "fit",
    "format_table",
    "launch",
    "load_checkpoint",
    "result_row",
    "run",
    "run_and_tell",
    "run_script",
    "save_checkpoint",
    "trained_module",
    "training_loss",
]
