"""Few-shot action recognition on UTD-MHAD, real Kinect data, beside training-free baselines.

    python examples/utd_fewshot.py --root DIR

trains once per seed and tests on the same episodes as the baselines, which compare frames without
and with time warping: raw frames; frames that are centred, turned and scaled; and these less their
mean pose, which is also the input of the trained model.

    python examples/utd_fewshot.py --root DIR --pretrained FOLDER

goes on from a model of ``examples/pretrain.py``, with its preparation of clips, and has it beside
the fine-tuned ones; and beside it the model that comes with the package.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import Identity
from torch_geometric.transforms import BaseTransform

from pyg_fsar import FewShotModel, load_pretrained
from pyg_fsar.datasets import UTDMHAD
from pyg_fsar.matching import build_matcher
from pyg_fsar.metrics import mean_confidence_interval
from pyg_fsar.training import (
    EvaluationResult,
    ModelOptions,
    TrainingOptions,
    clip_transform,
    evaluate,
    format_table,
    launch,
    result_row,
    run,
    run_script,
)
from pyg_fsar.transforms import ResampleFrames, augmented
from pyg_fsar.weights import load_model

# What does not forget: a low rate that rises at first, and a pull to the pretrained weights.
FINE_TUNING = {"lr": 3e-4, "warmup": 1, "anchor": 0.01, "classification": 1.0, "contrast": 1.0}


def parse(arguments: Sequence[str] | None = None) -> Namespace:
    pretrained = ArgumentParser(add_help=False)
    pretrained.add_argument("--pretrained", type=Path, help="folder of a model to go on from")

    parser = ArgumentParser(description=__doc__.splitlines()[0], parents=[pretrained])
    parser.add_argument("--root", type=Path, required=True, help="folder of UTD-MHAD")
    parser.add_argument("--out", type=Path, default=Path("runs/utd"), help="folder for results")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2], help="one run each, instead of --seed"
    )
    parser.add_argument("--num-frames", type=int, default=30, help="frames of every clip")
    usual = {"epochs": 10, "train_episodes": 20, "val_episodes": 300, "test_runs": 4}
    if pretrained.parse_known_args(arguments)[0].pretrained is not None:
        usual = usual | FINE_TUNING
    TrainingOptions.add_arguments(parser, **{"scheduler": "cosine"} | usual)
    # With 15 training classes, a larger model overfits.
    ModelOptions.add_arguments(parser, blocks=2, kernel_size=3, input_norm="channel")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    training = TrainingOptions.from_arguments(options)
    if options.pretrained is None:
        model, pretrained = ModelOptions.from_arguments(options), None
    else:
        ModelOptions.refuse_any(options, "the model is that of --pretrained")
        pretrained = load_model(options.pretrained)
    fabric = launch(training)

    def load(split: str, transform: BaseTransform | None) -> UTDMHAD:
        return UTDMHAD(options.root, split=split, transform=transform)

    frames = options.num_frames
    prepare = clip_transform(frames, train=False, motion_only=True)
    with fabric.rank_zero_first():
        test = load("test", prepare)
    versions = {
        "raw frames": load("test", ResampleFrames(frames, "uniform")),
        "normalised frames": load("test", clip_transform(frames, train=False)),
        "motion only": test,
    }
    results: dict[str, EvaluationResult] = {}
    for version, data in versions.items():
        for name, matcher in {"L2": "protonet", "DTW": "dtw"}.items():
            untrained = FewShotModel(Identity(), build_matcher(matcher, cost="euclidean"))
            result = evaluate(untrained, data, **training.test_protocol(), fabric=fabric)
            results[f"{name}, {version}"] = result
            fabric.print(f"{name}, {version}: {result}")

    if pretrained is None:
        trained = f"{model.backbone}, {model.matcher}, {model.spatial_name}"
        randomly = clip_transform(frames, train=True, motion_only=True)
        drawn = versions["normalised frames"]
    else:
        trained, prepare, drawn = "fine-tuned", pretrained[1], None
        randomly, test = augmented(prepare), load("test", prepare)
        untrained = load_pretrained("body15-untrained")[0]
        for name, ready in {"untrained": untrained, "pretrained": pretrained[0]}.items():
            results[name] = evaluate(ready, test, **training.test_protocol(), fabric=fabric)
            fabric.print(f"{name}: {results[name]}")
    train, val = load("train", randomly), load("val", prepare)
    for seed in options.seeds:
        fabric.print(f"seed {seed}")
        start = model if pretrained is None else load_model(options.pretrained)[0]
        results[f"{trained}, seed {seed}"] = run(
            fabric, train, val, test, replace(training, seed=seed), start,
            options.out / f"seed{seed}", settings={"num_frames": frames},
            drawn_data=drawn,
        )  # fmt: skip

    def gain(result: EvaluationResult, reference: str) -> str:
        # Episodes are the same, so differences vary less than accuracies do.
        differences = result.accuracies - results[reference].accuracies
        mean, interval = mean_confidence_interval(differences)
        return f"{100 * mean:+.2f} ± {100 * interval:.2f}"

    rows = []
    for name, result in results.items():
        rows.append(result_row(name, result))
        rows[-1]["gain over DTW, raw"] = gain(result, "DTW, raw frames")
        if name.startswith("fine-tuned"):
            rows[-1]["gain by fine-tuning"] = gain(result, "pretrained")
    seeds = torch.tensor([r.accuracy for n, r in results.items() if n.startswith(trained)])
    table = format_table(rows)
    spread = f", standard deviation {100 * seeds.std():.2f}" if len(seeds) > 1 else ""
    table += f"\n\nmean of {len(seeds)} seeds: {100 * seeds.mean():.2f} %{spread}"
    if fabric.is_global_zero:
        (options.out / "results.md").write_text(table + "\n")
    fabric.print(f"\n{training.n_way}-way {training.k_shot}-shot on UTD-MHAD\n\n{table}")


if __name__ == "__main__":
    run_script(main)
