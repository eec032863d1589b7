from __future__ import annotations

import open_set
import pytest
import torch

from pyg_fsar import load_pretrained
from pyg_fsar.data import EmbeddedClips
from pyg_fsar.datasets import FakeSkeletonDataset
from pyg_fsar.weights import PRETRAINED


@pytest.mark.parametrize("name", PRETRAINED)
def test_distances_that_are_looked_up_are_those_of_the_model(name: str) -> None:
    model, transform = load_pretrained(name)
    data = FakeSkeletonDataset("body15", 6, clips_per_class=3, split="all", transform=transform)
    embedded = model.embed(list(data))
    numbers = EmbeddedClips(torch.arange(len(data), dtype=torch.float32)[:, None, None, None])
    known = open_set.lookup(model, embedded)
    examples = torch.cat([(data.labels == label).nonzero()[0] for label in range(4)])
    y = torch.arange(4)
    expected = model.match(embedded[examples].with_y(y), embedded, 4)
    found = known.match(numbers[examples].with_y(y), numbers, 4)
    torch.testing.assert_close(found, expected)
