"""Memory of evaluation on a store as large as NTU RGB+D 120.

Run with ``python benchmarks/ntu_full_size.py``. Clips are random frames: 114,000, of 60 to 100
frames, every fifth with two bodies, 3.3 GB in a temporary folder. One process opens the store,
tests the paper's encoder (10 blocks) on episodes of NTU-T, and by the one-shot protocol; peak
memory must stay under 4 GiB. It takes about ten minutes of one core. Every clip is encoded once, so
``--episodes`` saves little; ``--queries`` saves most of the time, and memory: pages of the store
that queries were read from count as this process's while nothing else wants them.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch.utils.data import Subset

from pyg_fsar.datasets import NTURGBD, RawClip
from pyg_fsar.training import ModelOptions, build_model, clip_transform, evaluate, evaluate_one_shot

LIMIT_MIB = 4096


class RandomNTU(NTURGBD):
    """NTU RGB+D with random frames: 120 classes of clips, of which one is the exemplar."""

    per_class: ClassVar[int] = 950

    def raw_files(self) -> list[str]:
        """One source for each class."""
        return [str(label) for label in range(120)]

    def input_files(self) -> list[str]:
        """None, since nothing is read."""
        return []

    def read_raw(self, file: str) -> Iterator[RawClip]:
        """The clips of a class."""
        label = int(file)
        rng = np.random.default_rng(label)
        for number in range(self.per_class):
            name = f"S{number // 100 + 1:03d}C001P{number % 100:03d}R001A{label + 1:03d}"
            if number == 0:
                name = self.exemplar_name(label)
            shape = (1 + (number % 5 == 0), int(rng.integers(60, 101)), 25, 3)
            bodies = 0.3 * rng.standard_normal(shape, np.float32)
            bodies[..., 2] += 3
            yield RawClip(name, bodies, label)


def memory() -> float:
    """Peak memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--episodes", type=int, default=500, help="episodes of each of 10 runs")
    parser.add_argument("--queries", type=int, default=None, help="queries; all if not given")
    parser.add_argument("--per-class", type=int, default=950, help="clips of a class")
    parser.add_argument("--blocks", type=int, default=10, help="blocks of the encoder")
    args = parser.parse_args()
    RandomNTU.per_class = args.per_class
    with tempfile.TemporaryDirectory() as folder:
        options = {"processed_dir": folder, "num_workers": 0}
        RandomNTU(folder, split="all", **options)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        print(f"{120 * args.per_class} clips, {size / 1e9:.1f} GB; peak so far {memory():.0f} MiB")
        prepare = clip_transform(30, train=False)

        start = time.perf_counter()
        test = RandomNTU(folder, subset="T", split="test", transform=prepare, **options)
        print(f"store opened in {time.perf_counter() - start:.2f} s")
        model = build_model(ModelOptions(spatial="none", blocks=args.blocks), "ntu25")

        result = evaluate(model, test, num_episodes=args.episodes, runs=10)
        print(
            f"NTU-T, {len(test)} test clips, {len(result.accuracies)} episodes: "
            f"{result.seconds:.0f} s, peak {memory():.0f} MiB"
        )
        one_shot = RandomNTU(
            folder, split="test", protocol="one-shot", transform=prepare, **options
        )
        exemplars = list(one_shot.exemplars.values())
        others = sorted(set(range(len(one_shot))) - set(exemplars))[: args.queries]
        chosen = Subset(one_shot, [*exemplars, *others])
        result = evaluate_one_shot(model, chosen, range(len(exemplars)))
        print(
            f"one-shot, {len(result.accuracies)} of {len(one_shot) - len(exemplars)} queries: "
            f"{result.seconds:.0f} s, peak {memory():.0f} MiB"
        )
    if memory() > LIMIT_MIB:
        raise SystemExit(f"more than {LIMIT_MIB} MiB")


if __name__ == "__main__":
    main()
