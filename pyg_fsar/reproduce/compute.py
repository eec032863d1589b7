"""From a job to its result."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import Subset

import pyg_fsar
from pyg_fsar import FewShotModel
from pyg_fsar.datasets import SkeletonDataset
from pyg_fsar.matching import build_matcher
from pyg_fsar.metrics import cosine_similarity_map, effective_rank, mean_average_distance
from pyg_fsar.reproduce.job import Job
from pyg_fsar.reproduce.sources import SPLITS, Place, exemplars_of
from pyg_fsar.training import (
    build_model,
    channels_of,
    embed_dataset,
    evaluate,
    evaluate_one_shot,
    fit,
    load_checkpoint,
)

__all__ = ["compute", "hardware", "load_model", "versions"]

# Frames of a clip whose joints are compared in a figure.
NUM_FRAMES_SHOWN = 4
# Clips that are embedded to measure over-smoothing, where testing does not embed all at once.
NUM_CLIPS_MEASURED = 256


def load_model(job: Job, skeleton: Any, in_channels: int) -> FewShotModel:
    """The model of a job, with its first weights."""
    if job.untrained:
        matcher = build_matcher(job.model.matcher, **job.model.matching_options)
        return FewShotModel(torch.nn.Identity(), matcher)
    torch.manual_seed(job.training.seed)
    return build_model(job.model, skeleton, in_channels)


def compute(job: Job, place: Place, folder: Path, fabric: Fabric) -> dict[str, Any]:
    """Train a model, unless it is untrained, and test it.

    Args:
        job: What to do.
        place: Where the data lies.
        folder: Where checkpoints and logs go; a run that was interrupted there goes on.
        fabric: A launched Fabric.

    Returns:
        The result, as plain values.
    """
    start = time.perf_counter()
    data = {
        split: place.prepared(job.source, job.protocol, split, job.preparation, job.num_frames)
        for split in SPLITS
    }
    train, val, test = (data[split] for split in SPLITS)
    model = load_model(job, test.skeleton, channels_of(test))
    history: list[dict[str, float]] = []
    if not job.untrained:
        history = _train(job, model, train, val, folder, fabric)
    if job.one_shot:
        result = evaluate_one_shot(model, test, exemplars_of(test), fabric=fabric)
        step = -(-len(test) // NUM_CLIPS_MEASURED)
        some: Any = Subset(test, range(0, len(test), step))
        embedded = embed_dataset(model, some, fabric=fabric)
    else:
        embedded = embed_dataset(model, test, fabric=fabric)
        result = evaluate(
            model, test, **job.training.test_protocol(), fabric=fabric, embedded=embedded
        )
    frames = embedded.frames.float()
    return {
        "name": job.name,
        "settings": job.settings,
        "accuracies": _rounded(result.accuracies, 6),
        "clips": {split: len(data[split]) for split in SPLITS},
        "epochs": len(history),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "effective_rank": float(effective_rank(frames).mean()),
        "mean_average_distance": float(mean_average_distance(frames).mean()),
        **_shown(embedded.clip(0).float(), frames),
        "skeleton": test.skeleton.name,
        "seconds": round(time.perf_counter() - start, 1),
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "hardware": hardware(fabric),
        "versions": versions(),
    }


def _train(
    job: Job,
    model: FewShotModel,
    train: SkeletonDataset,
    val: SkeletonDataset,
    folder: Path,
    fabric: Fabric,
) -> list[dict[str, float]]:
    last = folder / "last.ckpt"
    training = replace(job.training, resume=last.is_file())
    history = fit(fabric, model, train, val, training, folder, job.settings)
    if job.selection == "last":
        load_checkpoint(fabric, last, {"model": model})
    return history


def _shown(clip: Tensor, frames: Tensor) -> dict[str, Any]:
    """How alike the joints of some frames of a clip are, and the mean singular values."""
    num_frames = min(NUM_FRAMES_SHOWN, len(clip))
    positions = torch.linspace(0, len(clip) - 1, num_frames).round().long()
    values = torch.linalg.svdvals(frames)
    values = values / values[:, :1].clamp(min=torch.finfo(values.dtype).tiny)
    return {
        "similarity": [_rounded(cosine_similarity_map(clip[t]), 4) for t in positions.tolist()],
        "singular_values": _rounded(values.mean(dim=0), 5),
    }


def _rounded(values: Tensor, digits: int) -> list[Any]:
    return values.double().cpu().numpy().round(digits).tolist()


def hardware(fabric: Fabric) -> str:
    """What a job runs on, in words."""
    if fabric.device.type == "cuda":
        return f"{fabric.world_size} x {torch.cuda.get_device_name(fabric.device)}"
    cores = os.cpu_count() or 1
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = named[0] if named else model
    threads = torch.get_num_threads()
    return f"{model}, {cores} cores, {fabric.world_size} x {threads} threads"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    packages = ("torch", "torch-geometric", "lightning-fabric", "numpy")
    return {
        "pyg_fsar": pyg_fsar.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }
