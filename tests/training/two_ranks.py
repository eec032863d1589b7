"""Trains and evaluates in several processes; each leaves what it saw in ``<folder>/<rank>.pt``."""

import sys
from pathlib import Path

import torch
from conftest import make_model, make_motions, make_options
from lightning_fabric import Fabric
from torch.nn import Identity
from torch.utils.data import Subset

from pyg_fsar import FewShotModel
from pyg_fsar.matching import build_matcher
from pyg_fsar.training import embed_dataset, evaluate, evaluate_one_shot, fit


class Snapshots(list):
    """A logger that keeps the weights after each epoch."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def log_metrics(self, row, step):
        self.append({name: p.detach().clone() for name, p in self.model.named_parameters()})


class Recording:
    """A dataset that keeps the numbers of the clips of each episode."""

    def __init__(self, dataset):
        self.dataset, self.labels, self.episodes = dataset, dataset.labels, []

    def __len__(self):
        return len(self.dataset)

    def __getitems__(self, numbers):
        if len(numbers) > 1:  # the head is made for one clip
            self.episodes.append(list(numbers))
        return self.dataset.gather(numbers)


def evaluations(fabric, model):
    """Of a trained model, and of clips that differ in length; 5 episodes do not divide by 2."""
    ragged = FewShotModel(Identity(), build_matcher("dtw", cost="euclidean"))
    return {
        "episodes": evaluate(model, make_motions(2), 3, 1, 2, 5, runs=2, seed=3, fabric=fabric),
        "one episode": evaluate(model, make_motions(2), 3, 1, 2, 1, seed=3, fabric=fabric),
        "one-shot": evaluate_one_shot(
            model, make_motions(2), [0, 6, 12, 18], chunk=3, fabric=fabric
        ),
        "ragged": evaluate(ragged, make_motions(2, ragged=True), 3, 1, 2, 5, fabric=fabric),
    }


def train(fabric, folder, accumulate):
    """Without dropout, whose random numbers differ between ranks."""
    train_data, val_data = Recording(make_motions(1)), Recording(make_motions(2))
    model = make_model(dropout=0.0)
    snapshots = Snapshots(model)
    options = make_options(
        epochs=2, train_episodes=8, val_episodes=5, accumulate=accumulate, precision="64-true",
        classification=0.5, contrast=0.5,
    )  # fmt: skip
    history = fit(fabric, model, train_data, val_data, options, folder, loggers=[snapshots])
    return model, {
        "snapshots": list(snapshots),
        "history": history,
        "episodes": train_data.episodes,
        "validated": val_data.episodes,
    }


if __name__ == "__main__":
    fabric = Fabric(accelerator="cpu", devices=2, precision="64-true")
    fabric.launch()
    folder = Path(sys.argv[1])
    model, seen = train(fabric, folder, accumulate=1)
    seen["weights"] = model.state_dict()
    seen["evaluations"] = {
        name: (result.accuracies, result.losses)
        for name, result in evaluations(fabric, model).items()
    }
    seen["one clip"] = embed_dataset(model, Subset(make_motions(2), [3]), fabric=fabric).x
    torch.save(seen, folder / f"{fabric.global_rank}.pt")
