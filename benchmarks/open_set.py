"""Queries of unknown classes, false alarms of calibrated thresholds, and calibration of
probabilities, for the model that comes with the package, beside DTW of the cosine cost.

.. code-block:: console

   $ python benchmarks/open_set.py --utd DIR --kinder-gator DIR --hdm05 DIR

Episodes have 5 known classes and as many unknown ones, with 5 queries of each, out of 10 clips of
each class that are drawn once. All pairs of these are compared once, and episodes look them up.
The spread of the thresholds and the scale of the logits that the tables report for a data set were
chosen on the other two. The model is the untrained one, or with ``--trained`` one that was trained
without the data set.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset
from torch_geometric.transforms import Compose

from pyg_fsar import FewShotModel, load_pretrained
from pyg_fsar.classifier.unknown import accepted, class_thresholds, perturbed
from pyg_fsar.data import EmbeddedClips
from pyg_fsar.datasets import HDM05, UTDMHAD, KinderGator, SkeletonDataset
from pyg_fsar.loader import EpisodeSampler
from pyg_fsar.matching import MotionMatcher, build_matcher
from pyg_fsar.metrics import expected_calibration_error, mean_confidence_interval
from pyg_fsar.training import (
    calibrate,
    clip_transform,
    embed_dataset,
    evaluate_open_set,
    format_table,
)
from pyg_fsar.transforms import MapJoints

N_WAY, N_QUERY = 5, 5
OURS = "body15"
SPREADS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)


def interval(values: list[float] | Tensor) -> str:
    """Mean and 95 % interval of fractions, in percent."""
    mean, half = mean_confidence_interval(values)
    return f"{100 * mean:.1f} ± {100 * half:.1f}"


class Lookup(MotionMatcher):
    """Matches clips that are numbers by distances that are known; ``n`` and more are the mirror
    images of clips.

    Args:
        table: Distances ``[2 n, n]``, without those of mirror images ``[n, n]``.
        **options: Of the matcher.
    """

    def __init__(self, table: Tensor, **options: Any) -> None:
        super().__init__(**options)
        self.table = table

    def mirrored(self, x: Tensor) -> Tensor:
        """Numbers of the mirror images."""
        return x + self.table.size(1)

    def plain_distances(self, query: EmbeddedClips, references: EmbeddedClips) -> Tensor:
        """As of the matcher, looked up."""
        rows, columns = (clips.x.flatten().long() for clips in (query, references))
        return self.table[rows[:, None], columns]


def lookup(model: FewShotModel, embedded: EmbeddedClips) -> FewShotModel:
    """A model of clips that are numbers, equal to this one."""
    plain, apart = copy.copy(model.matcher), embedded.with_y(torch.arange(len(embedded)))
    skeleton, plain.skeleton = getattr(plain, "skeleton", None), None
    queries = [embedded.x] if skeleton is None else [embedded.x, model.matcher.mirrored(embedded.x)]
    table = torch.cat([
        plain.distances(apart.x, apart.y, part)
        for x in queries for part in x.split(32)
    ])  # fmt: skip
    scale = float(model.matcher.logit_scale)
    return FewShotModel(torch.nn.Identity(), Lookup(table, skeleton=skeleton, scale=scale))


def some_clips(data: SkeletonDataset, count: int = 10) -> Subset:
    """So many clips of each class."""
    labels = data.labels.numpy()
    rng = np.random.default_rng(0)
    chosen = [rng.permutation(np.flatnonzero(labels == n))[:count] for n in np.unique(labels)]
    return Subset(data, np.concatenate(chosen).tolist())


def copy_distances(model: FewShotModel, data: Subset, embedded: EmbeddedClips) -> np.ndarray:
    """Mean distance of perturbed copies to each clip."""
    y = torch.zeros(1, dtype=torch.long)
    distances = []
    for number in range(len(data)):
        copies = model.embed(list(perturbed(data[number])))
        distances.append(float(-model.match(embedded[[number]].with_y(y), copies, 1).mean()))
    return np.array(distances) / model.matcher.logit_scale


class Source:
    """A data set as both models see it."""

    def __init__(
        self, name: str, open_data: Callable[..., SkeletonDataset], folder: Path | None
    ) -> None:
        self.name = name
        # The default model was trained on these data sets.
        ours, transform = load_pretrained(folder or "body15-untrained")
        baseline = Compose([MapJoints("body15"), clip_transform(30, False, motion_only=True)])
        untrained = FewShotModel(torch.nn.Identity(), build_matcher("dtw", shots="nearest"))
        self.models = {}
        for title, model, prepare in (
            ("DTW, cosine", untrained, baseline),
            (OURS, ours, transform),
        ):
            self.data = some_clips(open_data(transform=prepare))
            embedded = embed_dataset(model.eval(), self.data)
            self.models[title] = lookup(model, embedded)
        self.copies = copy_distances(ours, self.data, embedded)
        numbers = torch.arange(len(self.data), dtype=torch.float32)
        self.embedded = EmbeddedClips(numbers[:, None, None, None], y=embedded.y)
        print(f"{name}: {len(self.data)} clips compared", file=sys.stderr, flush=True)

    def thresholds(
        self, k_shot: int, spreads: Sequence[float], episodes: int, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """False alarms, and known queries that are named right, of thresholds for 5 %; of each
        spread and episode.
        """
        model, embedded = self.models[OURS], self.embedded
        scale = float(model.matcher.logit_scale)

        def compare(support: EmbeddedClips, query: EmbeddedClips, n_way: int) -> Tensor:
            return -model.match(support, query, n_way).double() / scale

        sampler = EpisodeSampler(embedded.y, 2 * N_WAY, k_shot, N_QUERY, episodes, seed)
        y = torch.arange(N_WAY).repeat_interleave(k_shot)
        truth = np.arange(N_WAY).repeat(N_QUERY)
        rates = np.zeros((2, len(spreads), episodes))
        for episode, numbers in enumerate(sampler):
            clips = torch.tensor(numbers)
            examples, queries = clips[: N_WAY * k_shot], clips[2 * N_WAY * k_shot :]
            support = embedded[examples].with_y(y)
            distances = compare(support, embedded[queries].with_y(None), N_WAY).numpy()
            for turn, spread in enumerate(spreads):
                copies = self.copies[examples.numpy()]
                limits = class_thresholds(compare, support, N_WAY, copies, 0.05, spread)
                found = accepted(distances, limits)
                rates[0, turn, episode] = (found[len(truth) :] >= 0).mean()
                rates[1, turn, episode] = (found[: len(truth)] == truth).mean()
        return rates[0], rates[1]

    def choices(self, episodes: int, seed: int = 1000) -> tuple[np.ndarray, float]:
        """False alarms of each spread, and the best scale of the logits; means of both shots."""
        model, alarms, logs = self.models[OURS], [], []
        for k_shot in (1, 5):
            alarms.append(self.thresholds(k_shot, SPREADS, episodes, seed)[0].mean(axis=1))
            best = calibrate(
                model, self.data, N_WAY, k_shot, N_QUERY, 4 * episodes, seed, self.embedded
            )
            logs.append(np.log(model.matcher.logit_scale / best.temperature))
        return np.mean(alarms, axis=0), float(np.mean(logs))

    def calibration_error(self, scale: float, k_shot: int, seed: int, episodes: int) -> float:
        """Calibration error of distances times minus a scale."""
        model = self.models[OURS]
        sampler = EpisodeSampler(self.embedded.y, N_WAY, k_shot, N_QUERY, episodes, seed)
        y = torch.arange(N_WAY).repeat_interleave(k_shot)
        rows = []
        for numbers in sampler:
            clips = torch.tensor(numbers)
            support, query = self.embedded[clips[: len(y)]], self.embedded[clips[len(y) :]]
            rows.append(model.match(support.with_y(y), query.with_y(None), N_WAY))
        logits = torch.cat(rows) * scale / model.matcher.logit_scale
        truth = torch.arange(N_WAY).repeat_interleave(N_QUERY).repeat(episodes)
        return expected_calibration_error(logits.softmax(dim=1), truth)


def chosen(choices: Sequence[tuple[np.ndarray, float]]) -> tuple[float, float]:
    """The spread whose false alarms are nearest to 5 % on average, and the mean scale."""
    alarms = np.mean([alarms for alarms, _ in choices], axis=0)
    return SPREADS[int(abs(alarms - 0.05).argmin())], float(
        np.exp(np.mean([s for _, s in choices]))
    )


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--utd", required=True, help="folder of UTD-MHAD")
    parser.add_argument("--kinder-gator", required=True, help="folder of Kinder-Gator")
    parser.add_argument("--hdm05", required=True, help="folder of HDM05")
    parser.add_argument("--processed", type=Path, help="folder of the stores")
    parser.add_argument(
        "--trained", type=Path,
        help="folder whose subfolders utd, kinder_gator and hdm05 are of examples/pretrain.py, "
        "each trained without that data set; untrained if not given",
    )  # fmt: skip
    parser.add_argument("--episodes", type=int, default=100, help="episodes of each seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    torch.set_num_threads(1)
    sources = [
        Source(
            name,
            partial(kind, getattr(args, key), "all", processed_dir=args.processed),
            args.trained and args.trained / key / "model",
        )
        for name, kind, key in (
            ("UTD-MHAD", UTDMHAD, "utd"),
            ("Kinder-Gator", KinderGator, "kinder_gator"),
            ("HDM05", HDM05, "hdm05"),
        )
    ]
    choices = [source.choices(30) for source in sources]
    ranking, alarms, errors = [], [], []
    for turn, source in enumerate(sources):
        spread, scale = chosen([*choices[:turn], *choices[turn + 1 :]])
        for k_shot in (1, 5):
            results = {
                name: [
                    evaluate_open_set(
                        source.models[name], source.data, N_WAY, k_shot, N_QUERY,
                        args.episodes, seed, embedded=source.embedded,
                    )
                    for seed in args.seeds
                ]
                for name in source.models
            }  # fmt: skip
            row = {"data": source.name, "shots": k_shot}
            for measure in ("aurocs", "accuracies", "closed_accuracies"):
                values = {
                    name: torch.cat([getattr(result, measure) for result in found])
                    for name, found in results.items()
                }
                title = {"aurocs": "AUROC", "accuracies": "accuracy at 5 %"}.get(measure, "closed")
                for name in values:
                    row[f"{title}, {name}"] = interval(values[name])
                row[f"{title}, gain"] = interval(values[OURS] - values["DTW, cosine"])
            ranking.append(row)
            row = {"data": source.name, "shots": k_shot, "spread from others": spread}
            runs = [source.thresholds(k_shot, [spread], args.episodes, s) for s in args.seeds]
            rates = np.concatenate(runs, axis=2)[:, 0]
            row["false alarms (%)"] = interval(rates[0])
            row["sd over episodes"] = f"{100 * rates[0].std():.1f}"
            row["known, named right (%)"] = interval(rates[1])
            alarms.append(row)
            row = {"data": source.name, "shots": k_shot, "scale from others": f"{scale:.1f}"}
            for title, value in (("1", 1.0), ("20", 20.0), ("from others", scale)):
                found = [
                    source.calibration_error(value, k_shot, s, args.episodes) for s in args.seeds
                ]
                row[f"ECE, scale {title} (%)"] = f"{100 * np.mean(found):.1f}"
            errors.append(row)
    for rows in (ranking, alarms, errors):
        print(format_table(rows), end="\n\n")
    for source, (rates, scale) in zip(sources, choices, strict=True):
        shown = ", ".join(f"{s}: {100 * r:.1f}" for s, r in zip(SPREADS, rates, strict=True))
        print(f"{source.name}: false alarms (%) by spread {shown}; scale {np.exp(scale):.1f}")
    print("spread and scale from all three:", *chosen(choices))


if __name__ == "__main__":
    main()
