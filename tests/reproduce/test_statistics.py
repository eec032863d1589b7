from __future__ import annotations

import math

import pytest
import torch

from pyg_fsar.reproduce import paired, spread


def test_intervals_over_episodes_and_over_seeds():
    values = torch.tensor(
        [[60.0, 70.0, 80.0, 90.0], [50.0, 60.0, 70.0, 80.0], [70.0, 80.0, 90.0, 72.0]]
    )
    found = spread(values)
    seeds = [75.0, 65.0, 78.0]
    assert found.seeds == pytest.approx(seeds)
    assert found.mean == pytest.approx(sum(seeds) / 3)
    sd = torch.tensor(seeds).std()
    assert found.sd == pytest.approx(float(sd))
    # Student's t with 2 degrees of freedom.
    assert found.over_seeds == pytest.approx(4.302653 * float(sd) / math.sqrt(3), rel=1e-5)
    episodes = values.mean(dim=0)
    assert found.over_episodes == pytest.approx(1.959964 * float(episodes.std()) / 2, rel=1e-5)


def test_one_seed_has_no_spread():
    found = spread(torch.rand(1, 10))
    assert (found.sd, found.over_seeds) == (None, None)
    assert math.isfinite(found.over_episodes)


def test_pairs():
    reference = 100 * torch.rand(3, 50)
    gain = torch.tensor([[1.0], [2.0], [3.0]])
    found = paired(reference + gain, reference)
    assert found.mean == pytest.approx(2, abs=1e-4)
    assert found.over_episodes == pytest.approx(0, abs=1e-4)  # whatever the episodes vary
    assert found.seeds == pytest.approx((1, 2, 3), abs=1e-4)
    # What has no seed is compared with every seed.
    assert len(paired(reference, reference[:1]).seeds) == 3


@pytest.mark.parametrize("shape", [(3, 49), (2, 50)])
def test_what_are_no_pairs(shape):
    with pytest.raises(ValueError, match="are not pairs"):
        paired(torch.rand(3, 50), torch.rand(shape))
