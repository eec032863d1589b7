from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter

from pyg_fsar.matching import MATCHERS, build_matcher, matcher_options
from pyg_fsar.testing import assert_matcher


@pytest.mark.parametrize("shots", ["mean", "average"])
@pytest.mark.parametrize("name", sorted(MATCHERS))
def test_accepts_ours(name: str, shots: str) -> None:
    sized = "channels" in matcher_options(name)
    matcher = build_matcher(name, shots=shots, **{"channels": 4} if sized else {})
    any_length = name not in ("protonet", "cosine", "dastm", "koopman")
    assert_matcher(matcher, num_joints=5, channels=4, lengths=any_length)


class Broken(nn.Module):
    """Squared distance of mean frames to prototypes, with something wrong."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, support: Tensor, y: Tensor, query: Tensor, *lengths: Tensor) -> Tensor:
        prototypes = scatter(support, y, reduce="mean").mean(1).flatten(1)
        logits = -torch.cdist(query.mean(1).flatten(1), prototypes)
        return self.function(logits, support)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda logits, support: logits[:, :2], r"expected logits \[4, 3\]"),
        (lambda logits, support: logits / 0, "NaN or infinite"),
        (lambda logits, support: logits.detach() + support.mean(), "query gets no gradient"),
        (lambda logits, support: logits + torch.arange(len(logits))[:, None], "order of the quer"),
        (lambda logits, support: logits - logits.mean(0), "other queries"),
        (lambda logits, support: logits + support[0].mean(), "order of the support"),
        (lambda logits, support: logits + torch.arange(3), "numbering of the classes"),
        (lambda logits, support: logits, "beyond the lengths"),
    ],
)
def test_tells_what_is_wrong(function: Callable[[Tensor, Tensor], Tensor], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_matcher(Broken(function), num_joints=5, channels=4)


def test_lengths_may_be_left_out() -> None:
    assert_matcher(Broken(lambda logits, support: logits), num_joints=5, channels=4, lengths=False)
