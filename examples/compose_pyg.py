"""Combinations with PyG: its models as encoders, and a rank loss in a PyG network.

    python examples/compose_pyg.py                  # everything generated, about a minute on CPU
    python examples/compose_pyg.py --root DIR       # UTD-MHAD in place of generated motions

First, a GAT and a GIN encode skeletons for few-shot recognition. Second, a graph convolutional
network names the nodes of graphs that PyG generates, without and with the rank loss of its layers.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GIN
from torch_geometric.transforms import RandomNodeSplit
from torch_geometric.utils import stochastic_blockmodel_graph

from pyg_fsar import FewShotModel
from pyg_fsar.datasets import UTDMHAD, FakeSkeletonDataset, SkeletonDataset
from pyg_fsar.matching import build_matcher
from pyg_fsar.metrics import effective_rank
from pyg_fsar.nn import FrameEncoder, RankMaxConv
from pyg_fsar.training import (
    TrainingOptions,
    clip_transform,
    embed_dataset,
    evaluate,
    fit,
    format_table,
    launch,
    run_script,
)

NUM_CLASSES, NUM_FEATURES, DEPTH = 5, 16, 4


def parse(arguments: Sequence[str] | None = None) -> Namespace:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--root", type=Path, help="folder of UTD-MHAD; motions are generated without"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/compose"), help="folder for results")
    parser.add_argument("--num-frames", type=int, default=16, help="frames of every clip")
    parser.add_argument("--graphs", type=int, default=5, help="graphs to name the nodes of")
    parser.add_argument("--steps", type=int, default=100, help="training steps on each graph")
    TrainingOptions.add_arguments(
        parser, n_query=5, epochs=3, train_episodes=20, val_episodes=50, test_episodes=200,
        test_runs=1, lr=3e-3,
    )  # fmt: skip
    return parser.parse_args(arguments)


# PyG's models as encoders.


def load(options: Namespace, split: str) -> SkeletonDataset:
    transform = clip_transform(options.num_frames, train=split == "train")
    if options.root is None:
        return FakeSkeletonDataset("ntu25", split=split, transform=transform)
    return UTDMHAD(options.root, split=split, transform=transform)


def few_shot_rows(options: Namespace, fabric: Fabric) -> Iterator[dict[str, str]]:
    training = TrainingOptions.from_arguments(options)
    with fabric.rank_zero_first():
        train, val, test = (load(options, split) for split in ("train", "val", "test"))
    for name, make in {"GAT": GAT, "GIN": GIN}.items():
        torch.manual_seed(training.seed)
        gnn = make(in_channels=3, hidden_channels=32, num_layers=2)
        encoder = FrameEncoder(gnn, train.skeleton, num_temporal=2)
        model = FewShotModel(encoder, build_matcher("soft_dtw", gamma=0.1))
        fit(fabric, model, train, val, training, options.out / name.lower())
        embedded = embed_dataset(model, test, fabric=fabric)
        result = evaluate(model, test, **training.test_protocol(), embedded=embedded, fabric=fabric)
        yield {
            "data": "GENERATED motions" if options.root is None else "UTD-MHAD",
            "task": f"{training.n_way}-way {training.k_shot}-shot",
            "model": f"{name}, soft-DTW",
            "accuracy (%)": f"{100 * result.accuracy:.2f}",
            "spread": f"± {100 * result.interval:.2f} (95 % interval)",
            "effective rank": f"{float(effective_rank(embedded.frames).mean()):.2f}",
        }


# RankMaxConv in an ordinary PyG network.


class NodeClassifier(nn.Module):
    """A network that is too deep for a small graph, so that it over-smooths."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        sizes = [NUM_FEATURES] + [channels] * DEPTH
        self.convs = nn.ModuleList(
            RankMaxConv(size, channels, method="logdet") for size in sizes[:-1]
        )
        self.classifier = nn.Linear(channels, NUM_CLASSES)

    def embed(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Features of all nodes after the last convolution."""
        for conv in self.convs:
            x = conv(x, edge_index).relu()
        return x

    def forward(self, data: Data) -> Tensor:
        """Logits of all nodes."""
        return self.classifier(self.embed(data.x, data.edge_index))

    def rank_loss(self) -> Tensor:
        """Mean penalty of the layers, to be added to the loss."""
        return torch.stack([conv.get_rank_loss() for conv in self.convs]).mean()


def generate_graph(seed: int) -> Data:
    """A graph whose edges join nodes of one class more often, with noisy features."""
    torch.manual_seed(seed)
    size, degree, homophily = 60, 8, 0.6
    among = degree * (1 - homophily) / (size * (NUM_CLASSES - 1))
    edge_probs = torch.full((NUM_CLASSES, NUM_CLASSES), among)
    edge_probs.fill_diagonal_(degree * homophily / size)
    y = torch.arange(NUM_CLASSES).repeat_interleave(size)
    classes = F.one_hot(y, NUM_FEATURES)
    data = Data(
        x=classes + 1.5 * torch.randn(classes.shape),
        edge_index=stochastic_blockmodel_graph([size] * NUM_CLASSES, edge_probs),
        y=y,
    )
    return RandomNodeSplit(num_train_per_class=10, num_val=50, num_test=200)(data)


def classify_nodes(data: Data, penalty_weight: float, steps: int) -> tuple[float, float]:
    """Test accuracy and effective rank of the nodes, at the step with the best validation."""
    torch.manual_seed(0)
    model = NodeClassifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=5e-4)
    best = (-1.0, 0.0, 0.0)
    for _ in range(steps):
        loss = F.cross_entropy(model(data)[data.train_mask], data.y[data.train_mask])
        if penalty_weight > 0:
            loss = loss + penalty_weight * model.rank_loss()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            right = (model(data).argmax(dim=-1) == data.y).float()
            validation = float(right[data.val_mask].mean())
            if validation > best[0]:
                rank = float(effective_rank(model.embed(data.x, data.edge_index)))
                best = (validation, float(right[data.test_mask].mean()), rank)
    return best[1:]


def node_rows(options: Namespace) -> Iterator[dict[str, str]]:
    graphs = [generate_graph(seed) for seed in range(options.graphs)]
    for name, weight in {"without rank loss": 0.0, "with rank loss": 1.0}.items():
        results = [classify_nodes(graph, weight, options.steps) for graph in graphs]
        accuracies, ranks = torch.tensor(results).t()
        yield {
            "data": "GENERATED graphs",
            "task": f"{NUM_CLASSES} classes of nodes",
            "model": f"{DEPTH} x RankMaxConv, {name}",
            "accuracy (%)": f"{float(100 * accuracies.mean()):.2f}",
            "spread": f"± {float(100 * accuracies.std()):.2f} (standard deviation)",
            "effective rank": f"{float(ranks.mean()):.2f}",
        }


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    fabric = launch(TrainingOptions.from_arguments(options))
    table = format_table([*few_shot_rows(options, fabric), *node_rows(options)])
    if fabric.is_global_zero:
        (options.out / "results.md").write_text(table + "\n")
    fabric.print(
        f"\n{options.test_runs * options.test_episodes} test episodes, {options.graphs} graphs. "
        "Generated data show that the parts\nwork together, not how good they are.\n\n" + table
    )


if __name__ == "__main__":
    run_script(main)
