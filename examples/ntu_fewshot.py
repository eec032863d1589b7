"""Few-shot action recognition on NTU RGB+D 120, or on generated motions without ``--root``.

For example:

    python examples/ntu_fewshot.py                            # generated, a few minutes on CPU
    python examples/ntu_fewshot.py --root DIR --subset T      # NTU-T, as Ma et al. (ECCV 2022)
    python examples/ntu_fewshot.py --root DIR --protocol one-shot
    python examples/ntu_fewshot.py --root DIR --subset S --devices 2 --precision bf16-mixed
    python examples/ntu_fewshot.py --root DIR --subset T --pretrained body15
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from torch_geometric.transforms import BaseTransform

from pyg_fsar import load_pretrained
from pyg_fsar.datasets import NTURGBD, FakeSkeletonDataset, SkeletonDataset
from pyg_fsar.training import (
    ModelOptions,
    TrainingOptions,
    clip_transform,
    launch,
    run_and_tell,
    run_script,
)
from pyg_fsar.transforms import augmented

# A few minutes on two cores; with --root the defaults are those of the paper.
DEMO = {
    "epochs": 4,
    "train_episodes": 20,
    "val_episodes": 100,
    "test_episodes": 200,
    "test_runs": 5,
}
# What does not forget: a low rate that rises at first, and a pull to the pretrained weights.
FINE_TUNING = {
    "lr": 3e-4,
    "scheduler": "cosine",
    "warmup": 1,
    "anchor": 0.01,
    "classification": 1.0,
    "contrast": 1.0,
}


def parse(arguments: Sequence[str] | None = None) -> Namespace:
    source = ArgumentParser(add_help=False)
    source.add_argument("--root", type=Path, help="folder of .skeleton files or their zip files")
    source.add_argument(
        "--pretrained", help="model to go on from, with its preparation: a folder, or body15"
    )
    given = source.parse_known_args(arguments)[0]
    has_root = given.root is not None

    parser = ArgumentParser(description=__doc__.splitlines()[0], parents=[source])
    parser.add_argument("--out", type=Path, default=Path("runs/ntu"), help="folder for results")
    parser.add_argument("--subset", choices=("T", "S"), help="30 or 60 clips per class")
    parser.add_argument("--protocol", choices=("few-shot", "one-shot"), default="few-shot")
    parser.add_argument(
        "--missing", help="list of clips with missing skeletons, or 'download' to fetch it"
    )
    parser.add_argument("--num-frames", type=int, default=30, help="frames of every clip")
    usual = {} if has_root else DEMO
    if given.pretrained is not None:
        usual = usual | FINE_TUNING
    TrainingOptions.add_arguments(parser, **usual)
    ModelOptions.add_arguments(parser, **({} if has_root else {"blocks": 4}))
    options = parser.parse_args(arguments)
    if not has_root and (options.subset or options.missing or options.protocol == "one-shot"):
        parser.error("--subset, --protocol and --missing are about real data: give its --root")
    return options


def load(options: Namespace, split: str, prepare: BaseTransform | None) -> SkeletonDataset:
    if prepare is None:
        transform = clip_transform(options.num_frames, train=split == "train")
    else:
        transform = augmented(prepare) if split == "train" else prepare
    if options.root is None:
        return FakeSkeletonDataset("ntu25", split=split, transform=transform)
    return NTURGBD(
        options.root,
        subset=options.subset,
        split=split,
        protocol=options.protocol,
        missing=options.missing,
        transform=transform,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    training = TrainingOptions.from_arguments(options)
    prepare = None
    if options.pretrained is None:
        model = ModelOptions.from_arguments(options)
        method = f"{model.backbone}, {model.matcher}, {model.spatial_name}"
    else:
        ModelOptions.refuse_any(options, "the model is that of --pretrained")
        model, prepare = load_pretrained(options.pretrained)
        method = f"{options.pretrained}, fine-tuned"
    fabric = launch(training)
    # One process makes the store before the others open it.
    with fabric.rank_zero_first():
        train, val, test = (load(options, split, prepare) for split in ("train", "val", "test"))
    data = "GENERATED motions" if options.root is None else f"NTU RGB+D ({options.protocol})"
    run_and_tell(
        fabric, train, val, test, training, model, options.out, data, method,
        exemplars=list(test.exemplars.values()) if options.protocol == "one-shot" else None,
        settings={"subset": options.subset, "num_frames": options.num_frames},
    )  # fmt: skip


if __name__ == "__main__":
    run_script(main)
