"""What a job will take: time and memory from one training step and one test episode."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from pyg_fsar.data import Episode, gather_clips, labels_of
from pyg_fsar.loader import EpisodeSampler
from pyg_fsar.nn.evaluation_mode import evaluation_mode
from pyg_fsar.reproduce.compute import load_model
from pyg_fsar.reproduce.job import Job
from pyg_fsar.reproduce.sources import SPLITS, Place
from pyg_fsar.training import channels_of, trained_module, training_loss

__all__ = ["Cost", "estimate", "size_of"]

MIB = 2**20
# Of each weight: itself, its gradient, and two of the optimizer.
COPIES_IN_TRAINING = 4


@dataclass(frozen=True)
class Cost:
    """What a job takes at most, if training does not stop early.

    Args:
        seconds: On this machine's CPU.
        mib: Memory of its process in MiB.

    Example:
        >>> Cost(seconds=60.0, mib=100.0).seconds
        60.0
    """

    seconds: float
    mib: float


def size_of(job: Job) -> Job:
    """The job without what hardly changes its cost; equal for jobs that cost alike."""
    alike: dict[str, Any] = {"norm_scale": None, "rank_method": None}
    if job.model.gamma is not None:
        alike["gamma"] = 1.0
    model = replace(job.model, **alike)
    return replace(job, model=model, training=replace(job.training, seed=0, penalty_weight=0.1))


def estimate(job: Job, place: Place) -> Cost:
    """Measure one training step and one test episode on the CPU, and multiply.

    The first estimate of a process is too high, since the first step loads and allocates.

    Args:
        job: What is to be done.
        place: Where the data lies.
    """
    data = {
        split: place.prepared(job.source, job.protocol, split, job.preparation, job.num_frames)
        for split in SPLITS
    }
    counts = {split: len(each) for split, each in data.items()}
    clips = {split: _episode_clips(job, each) for split, each in data.items()}
    model = load_model(job, data["test"].skeleton, channels_of(clips["test"]))
    options, num_support = job.training, job.training.n_way * job.training.k_shot
    episode = Episode.from_clips(clips["train"][:num_support], clips["train"][num_support:])

    kept: dict[int, int] = {}
    seconds = 0.0
    # With a head for the losses of whole clips, if there are any.
    trained = model if job.untrained else trained_module(model, data["train"], options)
    weights = sum(weight.numel() * weight.element_size() for weight in trained.parameters())
    if not job.untrained:

        def step() -> None:
            with saved_tensors_hooks(lambda tensor: _note(kept, tensor), lambda tensor: tensor):
                training_loss(trained, episode, options)[0].backward()

        seconds += options.epochs * options.train_episodes * _timed(step)
        weights *= COPIES_IN_TRAINING

    num_clips = len(clips["test"])
    with evaluation_mode(model), torch.no_grad():
        encoding = _timed(lambda: model.embed(clips["test"])) / num_clips
        embedded = model.embed(clips["test"])
        support, queries = embedded.split([num_support, num_clips - num_support])
        support = support.with_y(episode.support_y)
        matching = _timed(lambda: model.match(support, queries, options.n_way))
    if not job.untrained:
        val = counts["val"] * encoding + options.val_episodes * matching
        seconds += options.epochs * val
    episodes: float = options.test_runs * options.test_episodes
    if job.one_shot:
        episodes = counts["test"] / len(queries)
    seconds += counts["test"] * encoding + episodes * matching
    of_clip = embedded.x[0].numel() * embedded.x.element_size()
    most_embedded = max(counts["val"], 0 if job.one_shot else counts["test"])
    return Cost(
        seconds, _program() + (sum(kept.values()) + weights + most_embedded * of_clip) / MIB
    )


def _episode_clips(job: Job, data: Any) -> list[Any]:
    options = job.training
    sampler = EpisodeSampler(labels_of(data), options.n_way, options.k_shot, options.n_query, 1, 0)
    return gather_clips(data, next(iter(sampler)))


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _note(kept: dict[int, int], tensor: Tensor) -> Tensor:
    storage = tensor.untyped_storage()
    kept[storage.data_ptr()] = storage.nbytes()
    return tensor


def _program() -> float:
    """Memory that this process has needed so far, with the package and a data set open."""
    unit = 1 if sys.platform == "darwin" else 1024  # of what the system reports, in bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB
