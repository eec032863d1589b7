"""Few-shot action recognition on Kinetics-skeleton, 2D poses of people in videos.

    python examples/kinetics_fewshot.py --root DIR        # as Ma et al. (ECCV 2022)
    python examples/kinetics_fewshot.py --root DIR --k-shot 5 --matcher protonet --spatial none

The protocol of the paper: 100 clips of each of the first 120 classes, of which 20 are for
validation and 20 for the test; 50 frames of a clip. Joints are (x, y, score), relative to the
picture.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from pyg_fsar.datasets import KineticsSkeleton
from pyg_fsar.training import (
    ModelOptions,
    TrainingOptions,
    clip_transform,
    launch,
    run_and_tell,
    run_script,
)


def parse(arguments: Sequence[str] | None = None) -> Namespace:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--root", type=Path, required=True, help="folder of kinetics_train and kinetics_val"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/kinetics"), help="results go here")
    parser.add_argument("--clips-per-class", type=int, default=100, help="clips of each class")
    parser.add_argument("--num-frames", type=int, default=50, help="frames of every clip")
    TrainingOptions.add_arguments(parser)
    ModelOptions.add_arguments(parser)
    return parser.parse_args(arguments)


def load(options: Namespace, split: str) -> KineticsSkeleton:
    return KineticsSkeleton(
        options.root,
        split=split,
        clips_per_class=options.clips_per_class,
        transform=clip_transform(options.num_frames, train=split == "train", dims=2),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    training, model = (kind.from_arguments(options) for kind in (TrainingOptions, ModelOptions))
    fabric = launch(training)
    # One process makes the store before the others open it.
    with fabric.rank_zero_first():
        train, val, test = (load(options, split) for split in ("train", "val", "test"))
    run_and_tell(
        fabric, train, val, test, training, model, options.out, "Kinetics-skeleton",
        f"{model.backbone}, {model.matcher}, {model.spatial_name}",
        settings={
            "num_frames": options.num_frames, "clips_per_class": options.clips_per_class,
        },
    )  # fmt: skip


if __name__ == "__main__":
    run_script(main)
