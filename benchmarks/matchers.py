"""Accuracy of every matcher without any training: joints themselves, in place of an encoder.

Clips are prepared as by ``examples/ablation.py``, so the rows stand beside its trained ones: the
test classes of each data set, the same episodes for all rows, three seeds of episodes. Gains are
means of paired differences to the first row, with a 95 % interval over episodes.

.. code-block:: console

   $ python benchmarks/matchers.py --kinder-gator DIR --utd DIR
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch

from pyg_fsar import FewShotModel
from pyg_fsar.datasets import UTDMHAD, KinderGator
from pyg_fsar.matching import build_matcher, matcher_options
from pyg_fsar.metrics import mean_confidence_interval
from pyg_fsar.training import clip_transform, embed_dataset, evaluate, format_table

# Options of each row; the others are compared with the first.
ROWS: dict[str, dict[str, Any]] = {
    "soft_dtw": {"name": "soft_dtw"},
    "protonet": {"name": "protonet"},
    "cosine": {"name": "cosine"},
    "dtw": {"name": "dtw"},
    "soft_dtw, Euclidean": {"name": "soft_dtw", "cost": "euclidean"},
    "otam": {"name": "otam"},
    "mhm": {"name": "mhm"},
    "bimhm": {"name": "bimhm"},
    "tcmhm": {"name": "tcmhm"},
    "mixture of soft_dtw, tcmhm": {"name": "mixture"},
    "mixture of soft_dtw, cosine": {"name": "mixture", "matchers": ("soft_dtw", "cosine")},
    "views of soft_dtw": {"name": "views"},
    "jeanie": {"name": "jeanie"},
    "udtw, random variances": {"name": "udtw"},
    "koopman": {"name": "koopman", "shots": "mean"},
    "soft_dtw, joint_shrinkage 0.5": {"name": "soft_dtw", "joint_shrinkage": 0.5},
}


def accuracies(row: dict[str, Any], data: Any, k_shot: int, options: argparse.Namespace) -> Any:
    """Accuracy in percent of every episode, ``[seeds * episodes]``, of a row without training."""
    torch.manual_seed(0)
    sized = {"channels": 3} if "channels" in matcher_options(**row) else {}
    model = FewShotModel(torch.nn.Identity(), build_matcher(**row, **sized))
    embedded = embed_dataset(model, data)
    results = [
        evaluate(
            model, data, 5, k_shot, options.n_query, options.episodes, seed=seed, embedded=embedded
        )
        for seed in options.seeds
    ]
    return 100 * torch.cat([result.accuracies for result in results])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinder-gator", required=True, help="folder of Kinder-Gator")
    parser.add_argument("--utd", required=True, help="folder of UTD-MHAD")
    parser.add_argument("--processed", help="folder of the stores")
    parser.add_argument("--split", default="test", choices=("train", "val", "test", "all"))
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--shots", nargs="+", type=int, default=[1, 5])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--n-query", type=int, default=5)
    options = parser.parse_args()
    transform = clip_transform(30, train=False, motion_only=True)
    data = {}
    for name, kind, root in (
        ("UTD-MHAD", UTDMHAD, options.utd),
        ("Kinder-Gator", KinderGator, options.kinder_gator),
    ):
        clips = kind(root, options.split, transform=transform, processed_dir=options.processed)
        data[name] = clips.gather(range(len(clips)))
    table, reference = [], {}
    for row in options.rows:
        line, start = {"row": row}, time.perf_counter()
        for name, clips in data.items():
            for k_shot in options.shots:
                found = accuracies(ROWS[row], clips, k_shot, options)
                first = reference.setdefault((name, k_shot), found)
                mean, interval = mean_confidence_interval(found)
                gain, margin = mean_confidence_interval(found - first)
                line[f"{name}, {k_shot}-shot"] = f"{mean:.2f} ± {interval:.2f}"
                line[f"gain, {name}, {k_shot}-shot"] = f"{gain:+.2f} ± {margin:.2f}"
        table.append(line)
        print(f"{row}: {time.perf_counter() - start:.0f} s", line, flush=True)
    print(format_table(table))


if __name__ == "__main__":
    main()
