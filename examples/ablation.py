"""Spatial strategies, matchers and backbones compared: same data, episodes, seeds and budget.

    python examples/ablation.py --data utd --root DIR --table strategies matchers
    python examples/ablation.py --data utd --root DIR --table backbones

trains every row of the tables once per seed and tests all on the same episodes. Each row and seed
has its own folder, and the same command resumes after an interruption. The table is printed and
written to ``results.md``.

The default budget is small: 200 training episodes, and, for encoders with these options, 4 blocks
with temporal kernels of 3 frames.
"""

import json
import multiprocessing
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch_geometric.transforms import BaseTransform

from pyg_fsar.datasets import NTURGBD, UTDMHAD, FakeSkeletonDataset, SkeletonDataset
from pyg_fsar.metrics import effective_rank, mean_average_distance, mean_confidence_interval
from pyg_fsar.training import (
    ModelOptions,
    TrainingOptions,
    build_model,
    clip_transform,
    embed_dataset,
    evaluate,
    fit,
    format_table,
    launch,
    load_checkpoint,
    run_script,
)

# Each row: the options that it changes. The others are compared with the first row.
TABLES: dict[str, dict[str, dict[str, Any]]] = {
    "strategies": {
        "none, soft-DTW": {"spatial": "none"},
        "PairNorm, scale 0.1": {"spatial": "pairnorm", "norm_scale": 0.1},
        "PairNorm, scale 1": {"spatial": "pairnorm", "norm_scale": 1.0},
        "PairNorm, scale 10": {"spatial": "pairnorm", "norm_scale": 10.0},
        "DropEdge, 0.1": {"spatial": "dropedge", "drop_edge": 0.1},
        "DropEdge, 0.3": {"spatial": "dropedge", "drop_edge": 0.3},
        "RankMax, FBNM": {"spatial": "rankmax", "rank_method": "fbnm"},
        "RankMax, nuclear": {"spatial": "rankmax", "rank_method": "nuclear"},
        "RankMax, logdet": {"spatial": "rankmax", "rank_method": "logdet"},
        "RankMax, nuclear, lambda 1": {"spatial": "rankmax", "penalty_weight": 1.0},
        "RankMax, nuclear, lambda 10": {"spatial": "rankmax", "penalty_weight": 10.0},
        "activation": {"spatial": "activation"},
        "full": {"spatial": "full"},
    },
    "matchers": {
        "none, soft-DTW": {"spatial": "none"},
        "ProtoNet": {"spatial": "none", "matcher": "protonet"},
        "cosine": {"spatial": "none", "matcher": "cosine"},
        "DTW": {"spatial": "none", "matcher": "dtw"},
        "OTAM": {"spatial": "none", "matcher": "otam"},
        "MHM": {"spatial": "none", "matcher": "mhm"},
        "Bi-MHM": {"spatial": "none", "matcher": "bimhm"},
        "TC-MHM": {"spatial": "none", "matcher": "tcmhm"},
        "NGM": {"spatial": "none", "matcher": "ngm"},
        "uDTW": {"spatial": "none", "matcher": "udtw"},
        "views": {"spatial": "none", "matcher": "views"},
        "JEANIE": {"spatial": "none", "matcher": "jeanie"},
        "Koopman": {"spatial": "none", "matcher": "koopman"},
        "mixture": {"spatial": "none", "matcher": "mixture"},
    },
    "method": {
        "full": {"spatial": "full"},
        "soft-DTW, gamma 1": {"spatial": "none", "gamma": 1.0},
        "soft-DTW, gamma 0.01": {"spatial": "none", "gamma": 0.01},
        "full, gamma 0.01": {"spatial": "full", "gamma": 0.01},
        "full, gamma 1": {"spatial": "full", "gamma": 1.0},
        "full, FBNM": {"spatial": "full", "rank_method": "fbnm"},
        "full, as released": {"spatial": "full", "rank_method": "fbnm", "gamma": 0.01},
        "full, divergence": {"spatial": "full", "divergence": True},
        "full, lambda 1": {"spatial": "full", "penalty_weight": 1.0},
        "full, lambda 1, gamma 1": {"spatial": "full", "penalty_weight": 1.0, "gamma": 1.0},
    },
    "backbones": {
        f"{name}, {matcher}": {"spatial": "none", "backbone": backbone, "matcher": option}
        for name, backbone in {
            "ST-GCN": "stgcn",
            "2s-AGCN": "agcn",
            "MS-G3D": "msg3d",
            "LSTM": "lstm",
            "CTR-GCN": "ctrgcn",
            "ST-GCN++": "stgcnpp",
        }.items()
        for matcher, option in {"ProtoNet": "protonet", "soft-DTW": "soft_dtw"}.items()
    },
}


def parse(arguments: Sequence[str] | None = None) -> Namespace:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", choices=["utd", "ntu", "generated"], default="utd", help="dataset"
    )
    parser.add_argument("--root", type=Path, help="folder of the dataset")
    parser.add_argument(
        "--subset", choices=("T", "S"), default="T", help="of ntu: 30 or 60 clips per class"
    )
    parser.add_argument(
        "--table", nargs="+", choices=TABLES, default=["strategies", "matchers"],
        help="tables to make; what a row changes takes the place of an option "
        "(default: strategies matchers)",
    )  # fmt: skip
    parser.add_argument("--rows", nargs="+", help="only these rows, by name")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2], help="one run each, instead of --seed"
    )
    parser.add_argument("--jobs", type=int, default=1, help="rows that train at the same time")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"), help="results go here")
    parser.add_argument("--num-frames", type=int, default=30, help="frames of every clip")
    TrainingOptions.add_arguments(
        parser, epochs=8, train_episodes=25, val_episodes=100, test_runs=2, scheduler="cosine",
        patience=0,
    )  # fmt: skip
    ModelOptions.add_arguments(parser, blocks=4, kernel_size=3, input_norm="channel")
    options = parser.parse_args(arguments)
    ModelOptions.from_arguments(options)  # refuses what has no effect in the first place
    known = {row for table in options.table for row in TABLES[table]}
    if unknown := set(options.rows or ()) - known:
        parser.error(f"--rows: unknown {sorted(unknown)}; known are {sorted(known)}")
    if options.data != "generated" and options.root is None:
        parser.error(f"--data {options.data} needs --root, the folder of the dataset")
    return options


def load(options: Namespace, split: str) -> SkeletonDataset:
    # The mean pose depends on the person more than on the action, see docs/source/datasets.rst.
    transform: BaseTransform = clip_transform(
        options.num_frames, train=split == "train", motion_only=True
    )
    if options.data == "utd":
        return UTDMHAD(options.root, split=split, transform=transform)
    if options.data == "ntu":
        return NTURGBD(options.root, subset=options.subset, split=split, transform=transform)
    return FakeSkeletonDataset("ntu25", split=split, transform=transform)


def folder_of(options: Namespace, row: str, seed: int) -> Path:
    name = "".join(c if c.isalnum() or c in ".+-" else "_" for c in row.replace(", ", "-"))
    return options.out / name / f"seed{seed}"


def described(options: Namespace, row: str, seed: int) -> tuple[TrainingOptions, ModelOptions]:
    changes = {k: v for table in options.table for k, v in TABLES[table].get(row, {}).items()}
    changed = Namespace(**{**vars(options), **changes, "seed": seed})
    # Options of the command line are for all rows, so they count where they have an effect.
    names = {field.name for field in fields(ModelOptions)}
    given = {k: v for k, v in vars(options).items() if k in names and v is not None}
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    model = ModelOptions.fitting(
        {**options.preferred_model_options, **given},
        **{name: value for name, value in changes.items() if name in names},
    )
    return TrainingOptions.from_arguments(changed), model


def data_settings(options: Namespace) -> dict[str, Any]:
    subset = {"subset": options.subset} if options.data == "ntu" else {}
    return {"data": options.data, "num_frames": options.num_frames, **subset}


def train_row(options: Namespace, row: str, seed: int) -> None:
    """Train and test one row with one seed."""
    folder = folder_of(options, row, seed)
    training, model_options = described(options, row, seed)
    settings = {**asdict(model_options), **data_settings(options)}
    fabric = launch(training)
    train, val, test = (load(options, split) for split in ("train", "val", "test"))
    torch.manual_seed(seed)
    model = build_model(model_options, train.skeleton)
    training = replace(training, resume=(folder / "last.ckpt").is_file())
    fit(fabric, model, train, val, training, folder, settings)
    # Every row is tested after its last epoch. The best of a few epochs by a validation on five
    # classes is often an early one, which adds more noise than the rows differ by.
    load_checkpoint(fabric, folder / "last.ckpt", {"model": model})
    embedded = embed_dataset(model, test, fabric=fabric)
    result = evaluate(model, test, **training.test_protocol(), embedded=embedded, fabric=fabric)
    frames = embedded.frames.float()
    outcome = {
        "settings": {**asdict(replace(training, resume=False)), **settings},
        "accuracies": result.accuracies.tolist(),
        "effective rank": float(effective_rank(frames).mean()),
        "mean average distance": float(mean_average_distance(frames).mean()),
        "parameters": sum(weight.numel() for weight in model.parameters()),
    }
    if fabric.is_global_zero:
        unfinished = folder / "result.json.part"
        unfinished.write_text(json.dumps(outcome))
        unfinished.replace(folder / "result.json")
    fabric.print(f"{row}, seed {seed}: {result}")


def finished(options: Namespace, row: str, seed: int) -> dict[str, Any] | None:
    """Outcome of a finished row and seed, which must have the same settings."""
    path = folder_of(options, row, seed) / "result.json"
    if not path.is_file():
        return None
    outcome = json.loads(path.read_text())
    training, model = described(options, row, seed)
    free = {"accelerator", "devices", "num_workers", "resume"}
    wanted = {**asdict(training), **asdict(model), **data_settings(options)}
    wanted = json.loads(json.dumps(wanted))  # as the file has them: lists in place of tuples
    for name, value in wanted.items():
        before = outcome["settings"].get(name, value)
        if name not in free and before != value:
            raise ValueError(
                f"{path} has {name}={before!r}, but now it is {value!r}; give the same, or another "
                "--out"
            )
    return outcome


def train_rows(options: Namespace, cells: Sequence[tuple[str, int]]) -> None:
    if options.jobs == 1:
        for row, seed in cells:
            train_row(options, row, seed)
        return
    # Progress bars of several processes would overwrite each other.
    os.environ["TQDM_DISABLE"] = "1"
    threads = max(1, (os.cpu_count() or 1) // options.jobs)
    with ProcessPoolExecutor(
        options.jobs, multiprocessing.get_context("spawn"), torch.set_num_threads, (threads,)
    ) as pool:
        for future in as_completed([pool.submit(train_row, options, *cell) for cell in cells]):
            future.result()


def table_rows(options: Namespace, rows: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """One line per row: means over seeds, and the paired difference to the first row."""
    reference: torch.Tensor | None = None
    for row in rows:
        outcomes = [o for seed in options.seeds if (o := finished(options, row, seed))]
        if not outcomes:
            continue
        # [seeds, episodes]; all seeds and rows have the same test episodes.
        accuracies = 100 * torch.tensor([outcome["accuracies"] for outcome in outcomes])
        mean, interval = mean_confidence_interval(accuracies.mean(dim=0))
        spread = accuracies.mean(dim=1)
        line = {
            "row": row,
            "accuracy (%)": f"{mean:.2f} ± {interval:.2f}",
            "seeds": " / ".join(f"{accuracy:.2f}" for accuracy in spread.tolist()),
            "sd": f"{float(spread.std()):.2f}" if len(spread) > 1 else "",
        }
        if row == rows[0]:
            reference = accuracies
        elif reference is not None and len(reference) == len(accuracies):
            gain, margin = mean_confidence_interval((accuracies - reference).mean(dim=0))
            line[f"gain over {rows[0]}"] = f"{gain:+.2f} ± {margin:.2f}"
            # The interval is over episodes, not over seeds.
            better = int((spread > reference.mean(dim=1)).sum())
            line["better in"] = f"{better} of {len(spread)} seeds"
        for measure, form in {
            "effective rank": ".2f",
            "mean average distance": ".3f",
            "parameters": ",.0f",
        }.items():
            value = sum(outcome[measure] for outcome in outcomes) / len(outcomes)
            line[measure] = format(value, form)
        yield line


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    with launch(TrainingOptions.from_arguments(options)).rank_zero_first():
        load(options, "train")  # makes the store, once
    tables = {
        name: [row for row in TABLES[name] if options.rows is None or row in options.rows]
        for name in options.table
    }
    # Seed by seed, so that an interrupted run leaves whole tables of fewer seeds.
    cells = [
        (row, seed)
        for seed in options.seeds
        for row in dict.fromkeys(row for rows in tables.values() for row in rows)
        if finished(options, row, seed) is None
    ]
    print(f"{len(cells)} runs to do")
    train_rows(options, cells)
    text = "\n\n".join(
        f"{name}\n\n{format_table(list(table_rows(options, rows)))}"
        for name, rows in tables.items()
    )
    (options.out / "results.md").write_text(text + "\n")
    print(f"\n{options.n_way}-way {options.k_shot}-shot, {options.data}\n\n{text}")


if __name__ == "__main__":
    run_script(main)
