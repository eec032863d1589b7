"""The untrained model of the package beside baselines, on whole data sets.

    python examples/cross_dataset.py                # generated motions, about a minute on CPU
    python examples/cross_dataset.py --utd DIR --kinder-gator DIR --hdm05 DIR

All classes of a data set are novel, since nothing is trained. The default model of the package was
trained on these data sets; ``pretrain.py`` tests what it reaches on each that is left out. All
methods see clips in the layout ``body15`` and are tested on the same episodes; with several
examples of a class the nearest counts.
Baselines compare frames that are centred, turned, scaled and freed of their mean pose; centred as a
whole, or in the last of them each frame on its own.
For 2D each clip is projected from a view drawn at random: azimuth up to 45 degrees to either side,
and any azimuth, both with an elevation up to 15 degrees.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Identity
from torch_geometric.transforms import BaseTransform, Compose

from pyg_fsar import FewShotModel, load_pretrained
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.datasets import HDM05, UTDMHAD, FakeSkeletonDataset, KinderGator, SkeletonDataset
from pyg_fsar.matching import build_matcher
from pyg_fsar.metrics import mean_confidence_interval
from pyg_fsar.training import (
    EvaluationResult,
    clip_transform,
    embed_dataset,
    evaluate,
    format_table,
    run_script,
)
from pyg_fsar.transforms import AlignView, CenterOnJoint, MapJoints, RandomRotate

SOURCES: dict[str, Callable[..., SkeletonDataset]] = {
    "utd": UTDMHAD,
    "kinder_gator": KinderGator,
    "hdm05": HDM05,
}
BASELINES: dict[str, dict[str, str]] = {
    "L2": {"name": "protonet"},
    "Euclidean DTW": {"name": "dtw", "cost": "euclidean"},
    "cosine DTW": {"name": "dtw", "cost": "cosine"},
    "cosine DTW, frames centred": {"name": "dtw", "cost": "cosine"},
}
REFERENCE = "cosine DTW"
VIEWS = {"untrained, 3D": None, "untrained, 2D, ± 45°": 45, "untrained, 2D, any view": 180}


def parse(arguments: Sequence[str] | None = None) -> Namespace:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    for name in SOURCES:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, help="folder of this data")
    parser.add_argument("--processed", type=Path, help="folder for what is made of the raw files")
    parser.add_argument("--out", type=Path, default=Path("runs/cross"), help="folder for results")
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 5], help="examples per class")
    parser.add_argument("--n-way", type=int, default=5, help="classes of an episode")
    parser.add_argument("--n-query", type=int, default=5, help="queries per class")
    parser.add_argument("--episodes", type=int, default=500, help="episodes of each test")
    parser.add_argument("--seed", type=int, default=0, help="seed of episodes and views")
    return parser.parse_args(arguments)


def load(options: Namespace) -> dict[str, Any]:
    """All clips of every data set whose folder is given."""
    data = {}
    for name, dataset in SOURCES.items():
        root = getattr(options, name)
        if root is not None:
            processed = options.processed and options.processed / name
            data[dataset.__name__] = dataset(root, split="all", processed_dir=processed)
    return data or {"generated": FakeSkeletonDataset("ntu25", clips_per_class=12, split="test")}


def project(clip: SkeletonSequence, azimuth: float) -> SkeletonSequence:
    """A clip as a camera at a random place sees it, without perspective."""
    turn = Compose([CenterOnJoint(), AlignView(), RandomRotate((15, azimuth, 0))])
    clip = MapJoints("body15")(turn(clip))
    flat = clip.with_bodies(clip.bodies[..., :2])
    flat.skeleton = "body15_2d"
    return flat


def prepared(clips: Iterable[SkeletonSequence], transform: BaseTransform) -> list[SkeletonSequence]:
    return [transform(clip) for clip in clips]


def test_source(clips: Any, options: Namespace) -> dict[tuple[int, str], EvaluationResult]:
    """Results of every method by number of shots and name."""
    steps = [MapJoints("body15"), clip_transform(30, train=False, motion_only=True)]
    frames = prepared(clips, Compose(steps))
    centred = prepared(clips, Compose([steps[0], CenterOnJoint(mode="frame"), steps[1]]))
    methods = {
        name: (
            FewShotModel(Identity(), build_matcher(**matcher, shots="nearest")),
            centred if name.endswith("centred") else frames,
        )
        for name, matcher in BASELINES.items()
    }
    model, transform = load_pretrained("body15-untrained")
    for name, azimuth in VIEWS.items():
        torch.manual_seed(options.seed)
        views = clips if azimuth is None else (project(clip, azimuth) for clip in clips)
        methods[name] = model, prepared(views, transform)
    results = {}
    for name, (method, seen) in methods.items():
        embedded = embed_dataset(method, seen)
        for k_shot in options.shots:
            results[k_shot, name] = evaluate(
                method, seen, options.n_way, k_shot, options.n_query, options.episodes,
                seed=options.seed, embedded=embedded,
            )  # fmt: skip
    return results


def row(k_shot: int, source: str, name: str, accuracies: Tensor, gains: Tensor) -> dict[str, str]:
    """One line of the table.

    Args:
        k_shot: Number of shots.
        source: Name of the data set.
        name: Name of the method.
        accuracies: Accuracy of every episode.
        gains: By how much it is above that of the reference.
    """
    accuracy, interval = mean_confidence_interval(accuracies)
    gain, gain_interval = mean_confidence_interval(gains)
    return {
        "shots": str(k_shot),
        "data": source,
        "method": name,
        "accuracy (%)": f"{100 * accuracy:.2f} ± {100 * interval:.2f}",
        f"gain over {REFERENCE}": f"{100 * gain:+.2f} ± {100 * gain_interval:.2f}",
    }


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    results = {source: test_source(clips, options) for source, clips in load(options).items()}
    rows = []
    for k_shot in options.shots:
        for name in [*BASELINES, *VIEWS]:
            pairs = {
                source: (found[k_shot, name].accuracies, found[k_shot, REFERENCE].accuracies)
                for source, found in results.items()
            }
            for source, (own, reference) in pairs.items():
                rows.append(row(k_shot, source, name, own, own - reference))
            # Episodes of different data sets are independent: the n-th of each make one sample.
            own, reference = (
                torch.stack(values).mean(dim=0) for values in zip(*pairs.values(), strict=True)
            )
            rows.append(row(k_shot, "mean", name, own, own - reference))
    table = format_table(rows)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.md").write_text(table + "\n")
    print(f"\n{options.n_way}-way, {options.episodes} episodes of each data set\n\n{table}")


if __name__ == "__main__":
    run_script(main)
