"""Accuracy without any training: DTW of the cosine cost on how joints move, within a data set and
across data sets and layouts, by ``body15``.

.. code-block:: console

   $ python benchmarks/untrained.py --kinder-gator data/Kinder-Gator --hdm05 data/HDM05 \
         --utd data/UTD-MHAD
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch_geometric.transforms import Compose

from pyg_fsar.datasets import HDM05, UTDMHAD, KinderGator, SkeletonDataset
from pyg_fsar.matching import build_matcher
from pyg_fsar.training import clip_transform
from pyg_fsar.transforms import MapJoints

# Actions of Kinder-Gator, and what the like of them is called elsewhere.
LIKE_UTD = {
    "Wave your hand": "right hand wave",
    "Throw a ball": "right arm throw",
    "Draw the letter X": "right hand draw x",
    "Draw a circle": "right hand draw circle (clockwise)",
    "Draw a triangle": "draw triangle",
    "Punch": "front boxing",
    "Run in place": "jogging in place",
    "Walk in place": "walking in place",
    "Do a forward lunge": "forward lunge (left foot forward)",
}
LIKE_HDM05 = {
    "Jump": "hopBothLegs1hops",
    "Kick a ball with the other leg": "kickLFront1Reps",
    "Throw a ball": "throwBasketball",
    "Run in place": "jogLeftCircle4StepsRstart",
}
# The clips of each class, [clips, T, V, 3].
Pool = dict[str, Tensor]


def pool(dataset: SkeletonDataset) -> Pool:
    """The clips of a dataset by the names of their classes."""
    clips = dataset.gather(range(len(dataset)))
    bodies = torch.stack([clip.bodies[0] for clip in clips])
    return {
        dataset.class_names[label]: bodies[dataset.labels == label]
        for label in dataset.labels.unique().tolist()
    }


def accuracy(
    examples: Sequence[Tensor],
    queries: Sequence[Tensor],
    n_way: int,
    k_shot: int,
    num_episodes: int,
    n_query: int = 5,
    seed: int = 0,
) -> tuple[float, float]:
    """Mean accuracy in percent and half of its 95 % interval; a class is a pair of entries.

    Where both entries are the same clips, none is an example and a query at once.
    """
    matcher = build_matcher("dtw").eval()
    rng = np.random.default_rng(seed)
    hits = np.zeros(num_episodes)
    for episode in range(num_episodes):
        support, query = [], []
        for label in rng.choice(len(examples), n_way, replace=False):
            order = rng.permutation(len(examples[label]))
            support.append(examples[label][order[:k_shot]])
            if examples[label] is queries[label]:
                query.append(queries[label][order[k_shot : k_shot + n_query]])
            else:
                query.append(queries[label][rng.permutation(len(queries[label]))[:n_query]])
        support_y = torch.arange(n_way).repeat_interleave(k_shot)
        query_y = torch.arange(n_way).repeat_interleave(torch.tensor([len(q) for q in query]))
        with torch.no_grad():
            logits = matcher(torch.cat(support), support_y, torch.cat(query))
        hits[episode] = float((logits.argmax(dim=1) == query_y).float().mean())
    return 100 * hits.mean(), 196 * hits.std(ddof=1) / num_episodes**0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinder-gator", required=True, help="folder of Kinder-Gator")
    parser.add_argument("--hdm05", required=True, help="folder of HDM05")
    parser.add_argument("--utd", required=True, help="folder of UTD-MHAD")
    parser.add_argument("--processed", help="folder of the stores")
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    prepare = Compose([MapJoints("body15"), clip_transform(30, train=False, motion_only=True)])

    def read(kind: type[SkeletonDataset], root: str, split: str) -> Pool:
        return pool(kind(root, split, transform=prepare, processed_dir=args.processed))

    gator = read(KinderGator, args.kinder_gator, "all")
    hdm05, utd = (read(HDM05, args.hdm05, "all"), read(UTDMHAD, args.utd, "all"))
    tasks: dict[str, tuple[list[Tensor], list[Tensor]]] = {}
    for name, kind, root in (
        ("Kinder-Gator, 14 test classes", KinderGator, args.kinder_gator),
        ("HDM05, 5 test classes", HDM05, args.hdm05),
    ):
        clips = list(read(kind, root, "test").values())
        tasks[name] = (clips, clips)
    for name, like, other in (("UTD-MHAD", LIKE_UTD, utd), ("HDM05", LIKE_HDM05, hdm05)):
        pairs = [(gator[ours], other[theirs]) for ours, theirs in like.items()]
        tasks[f"Kinder-Gator to {name}, {len(like)} classes"] = (
            [ours for ours, _ in pairs],
            [theirs for _, theirs in pairs],
        )
    for name, (examples, queries) in tasks.items():
        n_way = min(5, len(examples))
        for k_shot in (1, 5):
            mean, half = accuracy(examples, queries, n_way, k_shot, args.episodes, seed=args.seed)
            print(f"{name}: {n_way}-way {k_shot}-shot {mean:.1f} +- {half:.1f} %")


if __name__ == "__main__":
    main()
