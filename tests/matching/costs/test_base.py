import inspect

import pytest
import torch

from pyg_fsar.matching import COSTS, CosineCost, FrameCost


@pytest.mark.parametrize("name", COSTS)
def test_pairs_are_the_diagonal_of_all_pairs(name):
    sized = "channels" in inspect.signature(COSTS[name]).parameters
    cost = COSTS[name](**{"channels": 4} if sized else {}).eval()
    x = torch.randn(4, 3, 5, 4)
    every_pair = cost(x, x)
    torch.testing.assert_close(
        cost.within(x), torch.stack([every_pair[i, i] for i in range(4)]), atol=1e-5, rtol=1e-5
    )
    y = torch.randn(4, 3, 5, 4)
    every_pair = cost(x, y)
    torch.testing.assert_close(
        cost.paired(x, y), torch.stack([every_pair[i, i] for i in range(4)]), atol=1e-5, rtol=1e-5
    )


def test_a_new_cost_needs_only_forward():
    class Manhattan(FrameCost):
        def forward(self, x, y):
            difference = x[:, None, :, None] - y[None, :, None]
            return difference.abs().sum((-2, -1))

    x = torch.randn(4, 3, 5, 2)
    expected = torch.stack([Manhattan()(clip[None], clip[None])[0, 0] for clip in x])
    torch.testing.assert_close(Manhattan().within(x), expected)
    torch.testing.assert_close(
        Manhattan().paired(x, x.roll(1, 0)), Manhattan()(x, x.roll(1, 0)).diagonal().movedim(-1, 0)
    )


@pytest.mark.parametrize("name", ["cosine", "euclidean"])
def test_paired_is_the_diagonal_of_all_pairs(name):
    cost, x, y = COSTS[name](), torch.randn(4, 3, 5, 2), torch.randn(4, 6, 5, 2)
    expected = cost(x, y).diagonal().movedim(-1, 0)
    torch.testing.assert_close(cost.paired(x, y), expected, atol=1e-5, rtol=1e-5)
    assert cost.paired(x.bfloat16(), y.bfloat16()).dtype == torch.float32
    with pytest.raises(ValueError, match="as many clips on either side, got 4 and 3"):
        cost.paired(x, y[:3])
    with pytest.raises(ValueError, match="same joints and channels"):
        cost.paired(x, y[:, :, :4])


@pytest.mark.parametrize(
    ("x", "y"),
    [((3, 5, 2), (2, 3, 5, 2)), ((2, 3, 5, 2), (2, 3, 4, 2)), ((2, 3, 5, 2), (2, 3, 5, 3))],
)
def test_clips_that_do_not_fit_are_refused(x, y):
    with pytest.raises(ValueError, match="same joints and channels"):
        CosineCost()(torch.zeros(x), torch.zeros(y))
