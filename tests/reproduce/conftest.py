"""Data, and grids that are as short as can be."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import pytest
import torch
from small_data import FEW, WRITERS

from pyg_fsar.reproduce import SOURCES, add_arguments, reproduce

SHORT = [
    "epochs=1", "train_episodes=2", "val_episodes=2", "n_way=2", "n_query=1", "num_frames=4",
    "test_episodes=4",
]  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture(autouse=True)
def few_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, "fake", {"generated": FEW})


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each data set."""
    place = tmp_path_factory.mktemp("data")
    for name, write in WRITERS.items():
        write(place / name)
    return {name: place / name for name in WRITERS}


@pytest.fixture
def parse():
    """Options of a short grid, from words of a command line."""

    def parsed(*words, short=SHORT, more=()):
        parser = ArgumentParser()
        add_arguments(parser)
        line = ["--budget", "small", "--accelerator", "cpu", "--seeds", "0", *map(str, words)]
        return parser.parse_args([*line, "--set", *short, *more])

    return parsed


@pytest.fixture
def grid(parse):
    """Runs a short grid."""
    return lambda *words, **options: reproduce(parse(*words, **options))
