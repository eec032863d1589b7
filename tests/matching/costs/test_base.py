import pytest
import torch

from pyg_fsar.matching import COSTS, CosineCost, FrameCost


@pytest.mark.parametrize("name", COSTS)
def test_within_is_the_diagonal_of_all_pairs(name):
    cost, x = COSTS[name](), torch.randn(4, 3, 5, 2)
    every_pair = cost(x, x)
    torch.testing.assert_close(
        cost.within(x), torch.stack([every_pair[i, i] for i in range(4)]), atol=1e-5, rtol=1e-5
    )


def test_a_new_cost_needs_only_forward():
    class Manhattan(FrameCost):
        def forward(self, x, y):
            difference = x[:, None, :, None] - y[None, :, None]
            return difference.abs().sum((-2, -1))

    x = torch.randn(4, 3, 5, 2)
    expected = torch.stack([Manhattan()(clip[None], clip[None])[0, 0] for clip in x])
    torch.testing.assert_close(Manhattan().within(x), expected)


@pytest.mark.parametrize(
    ("x", "y"),
    [((3, 5, 2), (2, 3, 5, 2)), ((2, 3, 5, 2), (2, 3, 4, 2)), ((2, 3, 5, 2), (2, 3, 5, 3))],
)
def test_clips_that_do_not_fit_are_refused(x, y):
    with pytest.raises(ValueError, match="same joints and channels"):
        CosineCost()(torch.zeros(x), torch.zeros(y))
