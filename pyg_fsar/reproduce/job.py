"""One cell with one seed: the unit of work, with a result of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import pyg_fsar
from pyg_fsar.reproduce.experiments import Budget, Experiment
from pyg_fsar.reproduce.sources import SOURCES
from pyg_fsar.training import ModelOptions, TrainingOptions

__all__ = ["Job", "make_job"]

TRAINING = frozenset(item.name for item in fields(TrainingOptions))
MODEL = frozenset(item.name for item in fields(ModelOptions))
# What results do not depend on, but for rounding; `spatial` stands for other options.
FREE = frozenset({"accelerator", "devices", "num_workers", "resume", "spatial"})
# What an untrained model depends on.
OF_TEST = (
    *("n_way", "eval_n_way", "k_shot", "n_query", "test_episodes", "test_runs", "eval_seed"),
    *("precision", "accelerator", "devices"),
)
MOST_LISTED = 460  # characters of an error
OF_MATCHING = ("matcher", "matcher_options", "gamma", "divergence", "shots")


@dataclass(frozen=True)
class Job:
    """One cell with one seed, with all options.

    Args:
        source: Name of :data:`~pyg_fsar.reproduce.SOURCES`.
        protocol: One of its protocols.
        fingerprint: Digest of the clips' names and labels.
        training: Options of training and test.
        model: Options of the model.
        num_frames: Frames of every clip.
        preparation: See :meth:`~pyg_fsar.reproduce.Place.prepared`.
        untrained: Compare frames as they are, without an encoder.
        selection: See :class:`~pyg_fsar.reproduce.Budget`.
        one_shot: Test by exemplars instead of by episodes.

    Example:
        >>> options = TrainingOptions(seed=1), ModelOptions()
        >>> job = Job("generated", "NTU-T", "x", *options, num_frames=30, preparation="normalised")
        >>> job.selection
        'best'
    """

    source: str
    protocol: str
    fingerprint: str
    training: TrainingOptions
    model: ModelOptions
    num_frames: int
    preparation: str
    untrained: bool = False
    selection: str = "best"
    one_shot: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """All that the result depends on, as plain values."""
        values = {**asdict(self), **asdict(self.training), **asdict(self.model)}
        kept = {k: v for k, v in values.items() if k not in {"training", "model", *FREE}}
        return json.loads(json.dumps({**kept, "version": pyg_fsar.__version__}))

    @property
    def name(self) -> str:
        """What it is, in short, and a digest of :attr:`settings`; names its files."""
        digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()
        encoder = "untrained" if self.untrained else self.model.backbone
        parts = [self.protocol, encoder, self.model.matcher, f"{self.training.k_shot}shot"]
        if not self.untrained:
            parts.append(f"seed{self.training.seed}")
        text = "-".join(parts).lower()
        return f"{''.join(c if c.isalnum() else '-' for c in text)}-{digest[:12]}"


def make_job(
    source: str,
    protocol: str,
    fingerprint: str,
    experiment: Experiment,
    row: str,
    budget: Budget,
    seed: int,
    changes: Mapping[str, Any] | None = None,
) -> Job:
    """The job of a row.

    Args:
        source: Name of :data:`~pyg_fsar.reproduce.SOURCES`.
        protocol: One of its protocols.
        fingerprint: Digest of the clips.
        experiment: The experiment.
        row: One of its rows.
        budget: How much is trained.
        seed: Seed of the training; an untrained model has none.
        changes: Options in place of those of the budget; what a row is about goes before them.

    Raises:
        ValueError: If an option is unknown, its value is not possible, or it has no effect on the
            model of a row.
    """
    changes = changes or {}
    chosen = SOURCES[source][protocol]
    if unknown := sorted(changes.keys() - TRAINING - MODEL - {"num_frames"}):
        known = ", ".join(sorted((TRAINING | MODEL) - FREE))
        listed = f"unknown option {unknown[0]:.60}; known are num_frames, {known}"
        if len(listed) > MOST_LISTED:  # cut between two names
            listed = listed[:MOST_LISTED].rpartition(",")[0] + ", ..."
        raise ValueError(listed)
    num_frames = changes.get("num_frames", chosen.num_frames)
    if type(num_frames) is not int or num_frames < 1:
        raise ValueError(f"num_frames must be a whole number of at least 1, got {num_frames!r:.80}")
    own: dict[str, Any] = {"preparation": chosen.preparation, "untrained": False}
    own |= experiment.common | dict(experiment.rows[row])
    preparation, untrained = own.pop("preparation"), own.pop("untrained")

    def part(names: frozenset[str], values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if name in names}

    options = {**budget.training, **part(TRAINING, changes), **part(TRAINING, own), "seed": seed}
    if untrained:
        options = {name: value for name, value in options.items() if name in OF_TEST}
        of_matching = {name: value for name, value in own.items() if name in OF_MATCHING}
        model = ModelOptions(spatial="none", **of_matching)
    else:
        preferred = {**budget.model, **part(MODEL, changes)}
        model = ModelOptions.fitting(preferred, **part(MODEL, own))
    return Job(
        source, protocol, fingerprint, TrainingOptions(**options), model,
        num_frames, preparation, untrained,
        "none" if untrained else budget.selection, experiment.one_shot,
    )  # fmt: skip
