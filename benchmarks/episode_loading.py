"""Loading a 5-way 1-shot episode from the memory-mapped store, beside the encoder's forward pass.

Run with ``python benchmarks/episode_loading.py``. An episode has 55 one-body clips; loading must
take less than a tenth of the time that the 10-block ST-GCN needs to encode it. The reference reads
clip by clip and lets PyG's ``Batch`` collate, as a loader without episodes in mind would do. The
store is read through the page cache, as from the second epoch on.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
import torch
from _timing import compare
from torch_geometric.data import Batch
from torch_geometric.transforms import BaseTransform, Compose

from pyg_fsar import transforms
from pyg_fsar.data import Episode
from pyg_fsar.datasets import SkeletonArrays
from pyg_fsar.loader import EpisodeLoader, EpisodeSampler
from pyg_fsar.nn import STGCN

LIMIT = 0.1


def make_dataset(
    folder: str, frames: int, transform: BaseTransform | None = None
) -> SkeletonArrays:
    """Noise of the size of NTU-S's test split; what the numbers are does not matter here."""
    classes, per_class = 20, 60
    clips = (
        np.random.default_rng(0)
        .normal(size=(classes * per_class, 1, frames, 25, 3))
        .astype(np.float32)
    )
    labels = np.repeat(np.arange(classes), per_class)
    dataset = SkeletonArrays(
        clips, labels, skeleton="ntu25", transform=transform, processed_dir=folder
    )
    if dataset.store.path is None:
        raise RuntimeError("the benchmark is about a store on disk, and this one is in memory")
    return dataset


def endless(dataset: SkeletonArrays) -> Iterator[Episode]:
    loader = EpisodeLoader(dataset, num_episodes=100)
    for epoch in count():
        loader.set_epoch(epoch)
        yield from loader


def one_by_one(dataset: SkeletonArrays) -> Callable[[], torch.Tensor]:
    episodes = iter(EpisodeSampler(dataset.labels, 5, 1, 10, num_episodes=10_000, seed=0))

    def load() -> torch.Tensor:
        batch = Batch.from_data_list([dataset[number] for number in next(episodes)])
        return batch.to_dense()[0]

    return load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=30, help="frames that the encoder sees")
    parser.add_argument("--raw-frames", type=int, default=80, help="frames before resampling")
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()

    training = Compose(
        [
            transforms.ResampleFrames(args.frames),
            transforms.CenterOnJoint(),
            transforms.RandomRotate(30),
            transforms.RandomScale(),
        ]
    )
    model = STGCN("ntu25").eval()
    with tempfile.TemporaryDirectory() as ready, tempfile.TemporaryDirectory() as raw:
        plain = make_dataset(ready, args.frames)
        transformed = make_dataset(raw, args.raw_frames, training)
        episodes, transformed_episodes = endless(plain), endless(transformed)
        bodies = next(episodes).bodies

        @torch.no_grad()
        def forward() -> torch.Tensor:
            return model(bodies)

        medians = compare(
            {
                "forward of ST-GCN": forward,
                "load": lambda: next(episodes),
                "load and transform": lambda: next(transformed_episodes),
                "load clip by clip (reference)": one_by_one(plain),
            },
            repeats=args.repeats,
        )

    print(f"{'':30}  {'median ms':>10}  {'of forward':>10}")
    for name, seconds in medians.items():
        print(f"{name:30}  {1e3 * seconds:10.1f}  {seconds / medians['forward of ST-GCN']:10.3f}")
    ratio = medians["load"] / medians["forward of ST-GCN"]
    print(f"loading takes {ratio:.3f} of the forward time; the limit is {LIMIT}")


if __name__ == "__main__":
    main()
