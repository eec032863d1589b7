"""Small motions, models and options, such that a whole run takes well under a second."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch_geometric.transforms import Compose

from pyg_fsar import FewShotModel
from pyg_fsar.datasets import SkeletonArrays
from pyg_fsar.matching import build_matcher
from pyg_fsar.nn import STGCN, RankMax
from pyg_fsar.training import TrainingOptions
from pyg_fsar.transforms import RandomJitter, RandomRotate


def make_motions(
    seed=0, num_classes=4, clips_per_class=6, T=8, ragged=False, noise=3, transform=None
):
    """Every class is a smooth course of the joints, its clips differ in phase, noise and bodies."""
    rng = np.random.default_rng(seed)
    clips, labels = [], []
    for label in range(num_classes):
        pose, reach = rng.normal(size=(2, 25, 3))
        for number in range(clips_per_class):
            M = 1 + (number == 0)
            length = T + number % 3 if ragged else T
            time = np.linspace(0, 1, length)[:, None, None] + rng.normal(0, 0.05)
            course = pose + reach * np.sin(math.pi * (1 + label) * time)
            clips.append(course + rng.normal(0, noise, (M, length, 25, 3)))
            labels.append(label)
    return SkeletonArrays(clips, labels, skeleton="ntu25", transform=transform)


def make_model(seed=0, dropout=0.1, penalty=True, matcher="soft_dtw", **options):
    torch.manual_seed(seed)
    encoder = STGCN("ntu25", plan=[(4, 1), (8, 2)], kernel_size=3, dropout=dropout)
    return FewShotModel(
        encoder, build_matcher(matcher, **options), RankMax("fbnm") if penalty else None
    )


def make_options(**changes):
    small = {"n_way": 3, "k_shot": 1, "n_query": 2, "epochs": 4, "train_episodes": 4}
    return TrainingOptions(**{**small, "val_episodes": 6, "lr": 0.01, **changes})


@pytest.fixture(autouse=True)
def one_thread():
    """Tensors this small gain nothing from threads, which on a busy machine wait for each other."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture
def motions():
    return make_motions


@pytest.fixture
def new_model():
    return make_model


@pytest.fixture
def options():
    return make_options


@pytest.fixture
def random_transform():
    return Compose([RandomRotate(20), RandomJitter(0.1)])


@pytest.fixture
def train_data(random_transform):
    return make_motions(seed=1, transform=random_transform)


@pytest.fixture
def val_data():
    return make_motions(seed=2)


@pytest.fixture
def fabric():
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    return fabric
