from __future__ import annotations

import pytest
import torch
from torch import nn

from pyg_fsar.matching import UncertainCost


def test_variances_stay_in_their_range():
    cost = UncertainCost(3, least=0.2, most=3.0)
    nn.init.constant_(cost.weight.weight, 100)
    variance = cost.variance(torch.randn(5, 4, 6, 3))
    assert 0.2 <= variance.min() < 0.3 and 2.9 < variance.max() <= 3.0
    x, y = torch.randn(3, 4, 6, 3), torch.randn(3, 5, 6, 3)
    torch.testing.assert_close(cost.paired(x, y), torch.stack([cost(x, y)[i, i] for i in range(3)]))


def test_refuses_other_channels():
    with pytest.raises(
        ValueError, match="for joints of 3 channels, got 4; make it with channels=4"
    ):
        UncertainCost(3)(torch.randn(2, 5, 6, 4), torch.randn(1, 5, 6, 4))
