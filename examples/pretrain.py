"""Pretrain an encoder on several data sets, and test it on one that it has not seen.

    python examples/pretrain.py                               # generated motions, minutes on CPU
    python examples/pretrain.py --utd DIR --kinder-gator DIR --hdm05 DIR --leave-out hdm05
    python examples/pretrain.py --utd DIR --kinder-gator DIR --hdm05 DIR --out runs/all

Classes are known by (data set, class). A batch has two clips of each of many classes, divided
equally among the data sets: episodes with one example and one query, and clips that are classified
and contrasted, in which mirror images are classes of their own. Some classes of every data set
are kept for validation, which chooses the epoch. ``--out`` receives the checkpoints, from which
``--resume`` goes on, and ``model``, which FewShotClassifier and ``pyg-fsar`` open.

With ``--leave-out`` all classes of that data set are novel. The trained model stands beside cosine
DTW and beside the untrained model on the same episodes, in 3D and in 2D: each clip projected from
a view drawn at random, azimuth up to 45 degrees to either side, elevation up to 15.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import Identity
from torch_geometric.transforms import BaseTransform, Compose

from pyg_fsar import FewShotModel
from pyg_fsar.data import SkeletonSequence, class_names_of, labels_of
from pyg_fsar.datasets import (
    HDM05,
    UTDMHAD,
    FakeSkeletonDataset,
    JoinedDatasets,
    KinderGator,
    SkeletonDataset,
)
from pyg_fsar.matching import MotionMatcher, build_matcher
from pyg_fsar.metrics import mean_confidence_interval
from pyg_fsar.nn import PENALTIES, MotionEncoder, MotionFeatures
from pyg_fsar.training import (
    EvaluationResult,
    TrainingOptions,
    clip_transform,
    default_loggers,
    embed_dataset,
    evaluate,
    fit,
    format_table,
    launch,
    run_script,
)
from pyg_fsar.transforms import (
    AddDepth,
    AlignView,
    CenterOnJoint,
    FillMissingJoints,
    MapJoints,
    RandomBoneLengths,
    RandomJitter,
    RandomJointLoss,
    RandomProjection,
    RandomRotate,
    RandomShear,
    RandomTemporalCrop,
    RandomTimeWarp,
    ResampleByMotion,
    ResampleFrames,
    ScaleByTorso,
    motion_transform,
)
from pyg_fsar.weights import save_model

SOURCES: dict[str, Callable[..., SkeletonDataset]] = {
    "utd": UTDMHAD,
    "kinder_gator": KinderGator,
    "hdm05": HDM05,
}
REFERENCES = ("cosine DTW", "untrained")
# As for the model that comes with the package.
SCALE = 20.0

# What is done once, before anything random.
PREPARED = Compose([
    MapJoints("body15"), FillMissingJoints(ancestors=False), CenterOnJoint(), AlignView(),
    ScaleByTorso(), ResampleFrames(60, "linear"),
])  # fmt: skip
AUGMENTED = Compose([
    RandomTemporalCrop(0.8), RandomTimeWarp(0.5), RandomBoneLengths(0.15),
    RandomRotate((8, 25, 8)), RandomShear(0.1), RandomJitter(0.01), RandomJointLoss(0.05),
    RandomProjection(60, 15, p=0.3),
])  # fmt: skip
# The rest of motion_transform, for 3D and 2D.
FINISHED = Compose([
    FillMissingJoints(ancestors=False), ScaleByTorso(), AddDepth(0.8), ResampleByMotion(30),
])  # fmt: skip


@dataclass
class Clips:
    """Prepared clips in memory, with a transform for when they are used."""

    clips: Sequence[SkeletonSequence]
    labels: Tensor
    class_names: Sequence[str]
    transform: BaseTransform

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, number: int) -> SkeletonSequence:
        return self.transform(self.clips[number])

    def seen(self, clips: Sequence[SkeletonSequence], transform: BaseTransform) -> "Clips":
        """Other views of the same clips."""
        return Clips(clips, self.labels, self.class_names, transform)

    def of(self, classes: Tensor, transform: BaseTransform) -> "Clips":
        """The clips of some classes with another transform."""
        rows = torch.isin(self.labels, classes).nonzero().flatten().tolist()
        clips = [self.clips[row] for row in rows]
        return Clips(clips, self.labels[rows], self.class_names, transform)


def parse(arguments: Sequence[str] | None = None) -> Namespace:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    for name in SOURCES:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, help="folder of this data")
    parser.add_argument("--processed", type=Path, help="folder for what is made of the raw files")
    parser.add_argument("--leave-out", choices=(*SOURCES, "generated"), help="data set to test on")
    parser.add_argument("--generated", type=int, default=120, help="classes of generated motions")
    parser.add_argument(
        "--val-fraction", type=float, default=0.1, help="of each data set's classes"
    )
    parser.add_argument("--embedding", type=float, default=0.1, help="weight of what is learned")
    parser.add_argument(
        "--penalty", choices=PENALTIES, help="penalty of the embeddings; its weight is --lambda"
    )
    parser.add_argument("--width", type=int, default=128, help="channels of the network")
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 5], help="examples per class")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/pretrain"), help="folder for results"
    )
    TrainingOptions.add_arguments(
        parser, n_way=24, n_query=1, eval_n_way=5, epochs=5, train_episodes=50, val_episodes=400,
        test_episodes=500, test_runs=1, seed=0, optimizer="adamw", lr=3e-3, weight_decay=0.05,
        scheduler="cosine", warmup=1, clip_norm=5.0, patience=0, classification=1.0, contrast=1.0,
        mirrored=True,
    )  # fmt: skip
    options = parser.parse_args(arguments)
    given = [name for name in SOURCES if getattr(options, name) is not None]
    if options.leave_out in SOURCES and options.leave_out not in given:
        parser.error(f"--leave-out {options.leave_out} needs its folder")
    if options.leave_out == "generated" and not options.generated:
        parser.error("--leave-out generated needs them; give --generated their number of classes")
    if min(options.shots) < 1:
        parser.error(f"--shots must be at least 1, got {min(options.shots)}")
    if not 0 < options.val_fraction < 1:
        parser.error(f"--val-fraction must lie between 0 and 1, got {options.val_fraction}")
    return options


def load(options: Namespace) -> dict[str, Clips]:
    """All clips of every data set whose folder is given, and generated ones, prepared."""
    data: dict[str, Any] = {}
    for name, dataset in SOURCES.items():
        if (root := getattr(options, name)) is not None:
            processed = options.processed and options.processed / name
            data[name] = dataset(root, split="all", processed_dir=processed)
    if options.generated:
        data["generated"] = FakeSkeletonDataset(
            "body15", num_classes=options.generated, clips_per_class=8, split="all"
        )
    return {
        name: Clips([PREPARED(clip) for clip in d], labels_of(d), class_names_of(d), FINISHED)
        for name, d in data.items()
    }


def split(data: dict[str, Clips], options: Namespace) -> tuple[JoinedDatasets, JoinedDatasets]:
    """Training and validation clips of the data sets, which share no class."""
    generator = torch.Generator().manual_seed(options.seed)
    train, val = {}, {}
    for name, clips in data.items():
        classes = clips.labels.unique()
        classes = classes[torch.randperm(len(classes), generator=generator)]
        kept = max(2, round(options.val_fraction * len(classes)))
        train[name] = clips.of(classes[kept:], Compose([AUGMENTED, FINISHED]))
        if name != "generated" or len(data) == 1:  # generated motions say little about real ones
            val[name] = clips.of(classes[:kept], FINISHED)
    joined = JoinedDatasets(train), JoinedDatasets(val)
    if len(joined[1].class_names) < options.eval_n_way:
        raise ValueError(
            f"--val-fraction {options.val_fraction} keeps {len(joined[1].class_names)} classes, "
            f"fewer than --eval-n-way {options.eval_n_way}; give a larger fraction, or fewer ways"
        )
    return joined


def make_model(options: Namespace) -> FewShotModel:
    torch.manual_seed(options.seed)
    encoder = MotionEncoder("body15", width=options.width, dropout=0.1)
    matcher = MotionMatcher(
        "body15", learned=encoder.learned, embedding=options.embedding, scale=SCALE
    )
    return FewShotModel(encoder, matcher, PENALTIES[options.penalty]() if options.penalty else None)


def project(clips: Iterable[SkeletonSequence], seed: int) -> list[SkeletonSequence]:
    """Each clip as a camera at a random place sees it."""
    torch.manual_seed(seed)
    return [RandomProjection(45, 15)(clip) for clip in clips]


def test(
    fabric: Fabric, model: FewShotModel, clips: Clips, options: TrainingOptions, shots: list[int]
) -> list[dict[str, str]]:
    """Rows of the table for a data set that was left out."""
    untrained = FewShotModel(MotionFeatures("body15"), MotionMatcher("body15", scale=SCALE))
    baseline = FewShotModel(Identity(), build_matcher("dtw", cost="cosine", shots="nearest"))
    frames = clip_transform(30, train=False, motion_only=True)
    flat = project(clips.clips, options.eval_seed)
    methods: dict[str, tuple[FewShotModel, Any, BaseTransform]] = {
        "cosine DTW": (baseline, clips.clips, frames),
        "untrained": (untrained, clips.clips, FINISHED),
        "trained": (model, clips.clips, FINISHED),
        "untrained, 2D": (untrained, flat, FINISHED),
        "trained, 2D": (model, flat, FINISHED),
    }
    embedded = {
        name: embed_dataset(method, clips.seen(views, transform), fabric=fabric)
        for name, (method, views, transform) in methods.items()
    }
    rows = []
    for k_shot in shots:
        results: dict[str, EvaluationResult] = {}
        protocol = options.test_protocol() | {"k_shot": k_shot, "n_query": 5}
        for name, (method, *_) in methods.items():
            results[name] = evaluate(
                method, clips, **protocol, embedded=embedded[name], fabric=fabric
            )
            fabric.print(f"{k_shot} shot, {name}: {results[name]}")
        for name, result in results.items():
            row = {"shots": str(k_shot), "method": name, "accuracy": str(result)}
            for reference in REFERENCES:
                other = reference + (", 2D" if "2D" in name and reference != "cosine DTW" else "")
                gains = result.accuracies - results[other].accuracies
                gain, interval = mean_confidence_interval(gains)
                row[f"gain over {reference}"] = f"{100 * gain:+.2f} ± {100 * interval:.2f}"
            rows.append(row)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    training = TrainingOptions.from_arguments(options)
    fabric = launch(training)
    with fabric.rank_zero_first():
        data = load(options)
    left_out = data.pop(options.leave_out, None) if options.leave_out else None
    if not data:
        raise ValueError("nothing is left to train on; give the folder of another data set")
    train, val = split(data, options)
    fabric.print(
        f"training on {len(train.class_names)} classes, {len(train)} clips of "
        f"{', '.join(data)}; validation on {len(val.class_names)} classes"
    )
    model = make_model(options)
    settings = {"embedding": options.embedding, "width": options.width, "sources": list(data)}
    settings |= {"validation": val.class_names, "penalty": options.penalty}
    fit(fabric, model, train, val, training, options.out, settings, default_loggers(options.out))
    if fabric.is_global_zero:
        save_model(options.out / "model", model, motion_transform())
    if left_out is None:
        return
    table = format_table(test(fabric, model, left_out, training, options.shots))
    if fabric.is_global_zero:
        (options.out / "results.md").write_text(table + "\n")
    fabric.print(f"\n{options.leave_out}, which the model has not seen\n\n{table}")


if __name__ == "__main__":
    run_script(main)
