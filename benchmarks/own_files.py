"""Accuracy of ``pyg-fsar`` on people's files, within a data set and from one to another.

Files are put into folders of links, one subfolder per class, as a user has them. ``pyg-fsar
evaluate`` is run on Kinder-Gator's CSV files and HDM05's AMC files; then examples from Kinder-Gator
name clips of HDM05 and UTD-MHAD, whose joints are others, by pairs of like-named actions. Nothing
is trained, and no class is used to choose anything.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from pyg_fsar.cli import main as pyg_fsar
from pyg_fsar.data import EmbeddedClips
from pyg_fsar.datasets import HDM05, UTDMHAD, KinderGator
from pyg_fsar.datasets.base import SkeletonDataset
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.metrics import mean_confidence_interval
from pyg_fsar.training import format_table
from pyg_fsar.weights import load_pretrained

__all__ = ["PAIRS"]

#: Like-named actions: of Kinder-Gator, and of the other data set. HDM05's are the nearest there
#: are: the other kick is with the left leg, hands are raised to grab something.
PAIRS: dict[str, dict[str, str]] = {
    "HDM05": {
        "Kick a ball": "kickLFront1Reps",
        "Throw a ball": "throwBasketball",
        "Jump": "hopBothLegs1hops",
        "Raise your hand": "grabHighR",
        "Touch your toes": "depositFloorR",
        "Run in place": "jogLeftCircle4StepsRstart",
        "Walk in place": "sneak2StepsLStart",
    },
    "UTD-MHAD": {
        "Swipe across an imaginary screen in front of you from right to left": (
            "right arm swipe to the left"
        ),
        "Swipe across an imaginary screen in front of you from left to right": (
            "right arm swipe to the right"
        ),
        "Wave your hand": "right hand wave",
        "Throw a ball": "right arm throw",
        "Draw the letter X": "right hand draw x",
        "Draw a circle": "right hand draw circle (clockwise)",
        "Draw a triangle": "draw triangle",
        "Punch": "front boxing",
        "Walk in place": "walking in place",
        "Run in place": "jogging in place",
        "Do a forward lunge": "forward lunge (left foot forward)",
    },
}


def link(dataset: SkeletonDataset, files: Iterable[str], folder: Path) -> Path:
    """A folder of links to a data set's files, one subfolder per class."""
    for file, label in zip(files, dataset.labels.tolist(), strict=True):
        place = folder / dataset.class_names[label]
        place.mkdir(parents=True, exist_ok=True)
        (place / Path(file).name).symlink_to(Path(dataset.root, file).resolve())
    return folder


def evaluate_files(folder: Path, args: argparse.Namespace, k_shot: int) -> dict[str, float]:
    """What ``pyg-fsar evaluate`` prints."""
    line = ["evaluate", str(folder), "--json", "--k-shot", str(k_shot), "--workers", "0"]
    line += ["--episodes", str(args.episodes), "--seed", str(args.seed)]
    line += ["--model", args.model]
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        pyg_fsar(line)
    return dict(json.loads(output.getvalue()))


def across(
    model: FewShotModel,
    support: EmbeddedClips,
    query: EmbeddedClips,
    k_shot: int,
    episodes: int,
    seed: int,
    n_way: int = 5,
    n_query: int = 5,
) -> tuple[float, float]:
    """Accuracy of episodes with examples of one data set and queries of another, and its interval.

    Classes of both have equal numbers.
    """
    rng = np.random.default_rng(seed)
    assert support.y is not None and query.y is not None
    pools = [
        [np.flatnonzero(y == label) for label in range(int(y.max()) + 1)]
        for y in (support.y.numpy(), query.y.numpy())
    ]
    accuracies = []
    for _ in range(episodes):
        classes = rng.permutation(len(pools[0]))[:n_way]
        picked = [
            np.concatenate([rng.permutation(pool[label])[:size] for label in classes])
            for pool, size in zip(pools, (k_shot, n_query), strict=True)
        ]
        s, q = support[torch.from_numpy(picked[0])], query[torch.from_numpy(picked[1])]
        relabel = torch.zeros(len(pools[0]), dtype=torch.long)
        relabel[torch.from_numpy(classes)] = torch.arange(n_way)
        logits = model.match(s.with_y(relabel[s.y]), q.with_y(None), n_way)
        accuracies.append((logits.argmax(1) == relabel[q.y]).double().mean())
    mean, half = mean_confidence_interval(torch.stack(accuracies))
    return float(mean), float(half)


def embed(model: FewShotModel, dataset: SkeletonDataset, names: Sequence[str]) -> EmbeddedClips:
    """The clips of some classes, numbered in their order."""
    labels = [dataset.class_names.index(name) for name in names]
    chosen = [n for n, label in enumerate(dataset.labels.tolist()) if label in labels]
    y = torch.tensor([labels.index(int(dataset.labels[n])) for n in chosen])
    parts = [model.embed(dataset.gather(chosen[n : n + 64])) for n in range(0, len(chosen), 64)]
    return EmbeddedClips.cat(parts, y)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kinder-gator", required=True, help="folder of Kinder-Gator")
    parser.add_argument("--hdm05", required=True, help="folder of HDM05")
    parser.add_argument("--utd", required=True, help="folder of UTD-MHAD")
    parser.add_argument(
        "--model", default="body15-untrained",  # the default model was trained on these data sets
        help="as for pyg-fsar evaluate",
    )  # fmt: skip
    parser.add_argument("--episodes", type=int, default=500, help="episodes of each row")
    parser.add_argument("--seed", type=int, default=0, help="decides the episodes")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as place:

        def opened(cls: type, root: str, split: str = "all", **options: object) -> SkeletonDataset:
            dataset = cls(root, split, processed_dir=Path(place, "stores"), **options)
            assert isinstance(dataset, SkeletonDataset)
            return dataset

        for cls, root, name in (
            (KinderGator, args.kinder_gator, "Kinder-Gator, CSV"),
            (HDM05, args.hdm05, "HDM05, AMC"),
        ):
            for split in ("all", "test"):
                data = opened(cls, root, split)
                files = data.store.sources[data.indices()].tolist()
                folder = link(data, files, Path(place, name, split))
                row = {"files": name, "classes": f"{split}, {len(set(data.labels.tolist()))}"}
                for k_shot in (1, 5):
                    found = evaluate_files(folder, args, k_shot)
                    text = f"{100 * found['accuracy']:.2f} ± {100 * found['interval_95']:.2f}"
                    row[f"5-way {k_shot}-shot (%)"] = text
                rows.append(row)
        model, transform = load_pretrained(args.model)
        with torch.no_grad():
            examples = opened(KinderGator, args.kinder_gator, transform=transform)
            for name, other, root in (
                ("HDM05", HDM05, args.hdm05),
                ("UTD-MHAD", UTDMHAD, args.utd),
            ):
                queries = opened(other, root, transform=transform)
                pairs = PAIRS[name]
                support = embed(model, examples, list(pairs))
                query = embed(model, queries, list(pairs.values()))
                row = {"files": f"Kinder-Gator to {name}", "classes": f"{len(pairs)} pairs"}
                for k_shot in (1, 5):
                    mean, half = across(model, support, query, k_shot, args.episodes, args.seed)
                    row[f"5-way {k_shot}-shot (%)"] = f"{100 * mean:.2f} ± {100 * half:.2f}"
                rows.append(row)
    print(format_table(rows))


if __name__ == "__main__":
    main()
