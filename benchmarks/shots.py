"""How many examples a class needs: accuracy from 1 to 10 shots on three real data sets.

.. code-block:: console

   $ python benchmarks/shots.py --utd data/UTD-MHAD --kinder-gator data/Kinder-Gator \
         --hdm05 data/HDM05

The model that comes with the package beside cosine DTW of frames that are centred, turned, scaled
and freed of their mean pose. Nothing is trained, so all classes of a data set are novel; the seeds
are those of the episodes. With several examples of a class the nearest counts.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import Identity
from torch_geometric.transforms import BaseTransform, Compose

from pyg_fsar import FewShotModel, load_pretrained
from pyg_fsar.datasets import HDM05, UTDMHAD, KinderGator, SkeletonDataset
from pyg_fsar.matching import build_matcher
from pyg_fsar.metrics import mean_confidence_interval
from pyg_fsar.training import clip_transform, embed_dataset, evaluate
from pyg_fsar.transforms import MapJoints

SOURCES: dict[str, type[SkeletonDataset]] = {
    "UTD-MHAD": UTDMHAD,
    "Kinder-Gator": KinderGator,
    "HDM05": HDM05,
}
SHOTS = (1, 2, 3, 5, 7, 10)
# A class of HDM05 has 14 clips, which leaves 4 for queries beside 10 shots.
N_WAY, N_QUERY = 5, 4


def methods() -> dict[str, tuple[FewShotModel, BaseTransform]]:
    """Models by name, each with its preparation of clips."""
    frames = Compose([MapJoints("body15"), clip_transform(30, train=False, motion_only=True)])
    baseline = FewShotModel(Identity(), build_matcher("dtw", cost="cosine", shots="nearest"))
    return {
        "body15-untrained": load_pretrained("body15-untrained"),
        "cosine DTW": (baseline, frames),
    }


def accuracies(
    model: FewShotModel, transform: BaseTransform, clips: SkeletonDataset, episodes: int, seeds: int
) -> dict[int, Tensor]:
    """Accuracy of every episode by number of shots, ``[seeds, episodes]``."""
    seen = [transform(clip) for clip in clips]
    embedded = embed_dataset(model, seen)
    found = {}
    for k_shot in SHOTS:
        tests = [
            evaluate(
                model, seen, N_WAY, k_shot, N_QUERY, episodes, seed=seed, embedded=embedded
            ).accuracies
            for seed in range(seeds)
        ]
        found[k_shot] = torch.stack(tests)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--utd", required=True, help="folder of UTD-MHAD")
    parser.add_argument("--kinder-gator", required=True, help="folder of Kinder-Gator")
    parser.add_argument("--hdm05", required=True, help="folder of HDM05")
    parser.add_argument("--processed", type=Path, help="folder of the stores")
    parser.add_argument("--episodes", type=int, default=100, help="episodes of each seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("shots.csv"), help="the table")
    args = parser.parse_args()
    torch.set_num_threads(1)
    roots = (args.utd, args.kinder_gator, args.hdm05)
    columns: dict[str, list[str]] = {}
    for (source, dataset), root in zip(SOURCES.items(), roots, strict=True):
        processed = args.processed and args.processed / source
        clips = dataset(root, split="all", processed_dir=processed)
        for name, (model, transform) in methods().items():
            found = accuracies(model, transform, clips, args.episodes, args.seeds)
            cells = []
            for k_shot, values in found.items():
                mean, interval = mean_confidence_interval(values.flatten())
                cells.append(f"{100 * mean:.1f} ± {100 * interval:.1f}")
                spread = 100 * float(values.mean(dim=1).std())
                print(f"{source}, {name}, {k_shot} shots: {cells[-1]} %, sd of seeds {spread:.2f}")
            columns[f"{source}, {name}"] = cells
    with args.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["shots", *columns])
        writer.writerows(zip(SHOTS, *columns.values(), strict=True))


if __name__ == "__main__":
    main()
