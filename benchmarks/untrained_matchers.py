"""Accuracy of every matcher without any training: joints themselves, in place of an encoder.

Clips are prepared as for training on NTU: the test classes of each data set. All rows are
tested on the same episodes, drawn with several seeds; with several shots the nearest counts. Gains
are means of paired differences to ``soft_dtw``, with a 95 % interval over episodes.

A query's distance to a clip depends on no other clip, so each pair is aligned once, and episodes
look distances up. Only ``joint_shrinkage``, which depends on all shots of a class, is matched
episode by episode, on the first seed alone.

.. code-block:: console

   $ python benchmarks/untrained_matchers.py --kinder-gator DIR --utd DIR
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyg_fsar import FewShotModel
from pyg_fsar.data import EmbeddedClips, labels_of
from pyg_fsar.datasets import UTDMHAD, KinderGator
from pyg_fsar.loader import EpisodeSampler
from pyg_fsar.matching import MixtureMatcher, build_matcher, match, matcher_options
from pyg_fsar.metrics import accuracy, mean_confidence_interval
from pyg_fsar.training import clip_transform, embed_dataset, format_table

WAYS = 5
REFERENCE = "soft_dtw"

# Options of each row.
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
    "views of soft_dtw": {"name": "views"},
    "jeanie": {"name": "jeanie"},
    "udtw, random variances": {"name": "udtw"},
    "koopman": {"name": "koopman"},
}
MIXTURES = {
    f"mixture of {first}, {second}": (first, second)
    for first, second in (("soft_dtw", "tcmhm"), ("soft_dtw", "cosine"), ("soft_dtw", "jeanie"))
}
SHRINKAGES = (0.25, 0.5, 0.75)


class LookUp(nn.Module):
    """A matcher of clips that hold nothing but their number, by their distances to each other.

    Args:
        distances: Distance of every clip, as a query, to every clip, as a support clip.
    """

    def __init__(self, distances: Tensor) -> None:
        super().__init__()
        self.distances = distances

    def forward(self, support: Tensor, support_y: Tensor, query: Tensor) -> Tensor:
        """Minus the smallest distance to each class."""
        shots = self.distances[query.flatten().long()][:, support.flatten().long()]
        classes = [shots[:, support_y == y].amin(dim=1) for y in range(int(support_y.max()) + 1)]
        return -torch.stack(classes, dim=1)


def model_of(options: dict[str, Any]) -> FewShotModel:
    """The untrained model of a row."""
    torch.manual_seed(0)
    sized = {"channels": 3} if "channels" in matcher_options(**options) else {}
    return FewShotModel(nn.Identity(), build_matcher(**options, **sized)).eval()


def distances(options: dict[str, Any], clips: Sequence[Any], chunk: int = 8) -> Tensor:
    """Distances of all clips to all clips, ``[clips, clips]``."""
    model = model_of(options)
    embedded = embed_dataset(model, clips)
    support = embedded.with_y(torch.arange(len(embedded)))
    with torch.inference_mode():
        parts = torch.arange(len(embedded)).split(chunk)
        return torch.cat([-model.match(support, embedded[part], len(embedded)) for part in parts])


def accuracies(
    matchers: dict[str, nn.Module],
    embedded: dict[str, EmbeddedClips],
    y: Tensor,
    k_shot: int,
    seeds: Sequence[int],
    options: argparse.Namespace,
) -> dict[str, Tensor]:
    """Accuracy in percent of every row on the same episodes, ``[seeds * episodes]``."""
    hits: dict[str, list[float]] = {row: [] for row in matchers}
    support_y = torch.arange(WAYS).repeat_interleave(k_shot)
    query_y = torch.arange(WAYS).repeat_interleave(options.n_query)
    for seed in seeds:
        sampler = EpisodeSampler(y, WAYS, k_shot, options.n_query, options.episodes, seed)
        for episode in sampler:
            support, query = torch.tensor(episode).split([len(support_y), len(query_y)])
            for row, matcher in matchers.items():
                clips = embedded[row]
                with torch.inference_mode():
                    logits = match(matcher, clips[support].with_y(support_y), clips[query], WAYS)
                hits[row].append(float(accuracy(logits, query_y)))
    return {row: 100 * torch.tensor(values) for row, values in hits.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinder-gator", required=True, help="folder of Kinder-Gator")
    parser.add_argument("--utd", required=True, help="folder of UTD-MHAD")
    parser.add_argument("--processed", help="folder of the stores")
    parser.add_argument("--split", default="test", choices=("train", "val", "test", "all"))
    parser.add_argument("--shots", nargs="+", type=int, default=[1, 5])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--n-query", type=int, default=10)
    options = parser.parse_args()
    transform = clip_transform(30, train=False, motion_only=True)
    lines: dict[str, dict[str, str]] = {}

    def report(row: str, column: str, found: Tensor, first: Tensor) -> None:
        mean, interval = mean_confidence_interval(found)
        gain, margin = mean_confidence_interval(found - first[: len(found)])
        line = lines.setdefault(row, {"row": row})
        line[column] = f"{mean:.2f} ± {interval:.2f}"
        line[f"gain, {column}"] = f"{gain:+.2f} ± {margin:.2f}"

    for name, kind, root in (
        ("UTD-MHAD", UTDMHAD, options.utd),
        ("Kinder-Gator", KinderGator, options.kinder_gator),
    ):
        data = kind(root, options.split, transform=transform, processed_dir=options.processed)
        clips = data.gather(range(len(data)))
        y = labels_of(clips)
        numbers = EmbeddedClips(torch.arange(len(clips)).view(-1, 1, 1, 1).float(), y=y)
        matchers: dict[str, nn.Module] = {}
        for row, given in ROWS.items():
            start = time.perf_counter()
            matchers[row] = LookUp(distances(given, clips))
            print(f"{name}: {row}, {time.perf_counter() - start:.0f} s", flush=True)
        for row, parts in MIXTURES.items():
            matchers[row] = MixtureMatcher([matchers[part] for part in parts])
        joints = embed_dataset(model_of(ROWS[REFERENCE]), clips)
        by_class = {
            f"soft_dtw, joint_shrinkage {shrinkage}": build_matcher(
                "soft_dtw", shots="nearest", joint_shrinkage=shrinkage
            )
            for shrinkage in SHRINKAGES
        }
        for k_shot in options.shots:
            column = f"{name}, {k_shot}-shot"
            same = dict.fromkeys(matchers, numbers)
            found = accuracies(matchers, same, y, k_shot, options.seeds, options)
            if k_shot > 1:
                same = dict.fromkeys(by_class, joints)
                found |= accuracies(by_class, same, y, k_shot, options.seeds[:1], options)
            for row, values in found.items():
                report(row, column, values, found[REFERENCE])
        print(format_table(list(lines.values())), flush=True)


if __name__ == "__main__":
    main()
