import pytest
import torch

from pyg_fsar.matching import dtw, dtw_path


def is_path(path, rows, columns):
    steps = path.diff(dim=0)
    return (
        path[0].tolist() == [0, 0]
        and path[-1].tolist() == [rows - 1, columns - 1]
        and bool(((steps >= 0) & (steps <= 1)).all())
        and bool((steps.sum(1) > 0).all())
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (7, 7), (9, 4), (4, 9), (64, 50)])
def test_path_is_monotone_and_costs_what_dtw_says(shape):
    for _ in range(5):
        cost = torch.rand(shape)
        path = dtw_path(cost)
        assert path.dtype == torch.long
        assert is_path(path, *shape)
        torch.testing.assert_close(cost[path[:, 0], path[:, 1]].sum(), dtw(cost))


def test_gradient_marks_the_path():
    cost = torch.rand(6, 8, requires_grad=True)
    dtw(cost).backward()
    assert cost.grad.nonzero().tolist() == dtw_path(cost).tolist()
    assert (cost.grad[cost.grad != 0] == 1).all()


def test_equal_steps_take_the_diagonal():
    assert dtw_path(torch.ones(4, 4)).tolist() == [[i, i] for i in range(4)]
    assert is_path(dtw_path(torch.zeros(5, 3)), 5, 3)


def test_recovers_a_known_warp():
    times = torch.tensor([0, 0, 1, 2, 2, 2, 3, 4])
    cost = (times[:, None] - torch.arange(5)).abs().float()
    assert dtw(cost) == 0
    assert dtw_path(cost).tolist() == [[i, int(t)] for i, t in enumerate(times)]


def test_infinite_cost_forbids_a_cell():
    cost = torch.zeros(4, 4).fill_diagonal_(torch.inf)
    cost[0, 0] = cost[3, 3] = 0
    cost[0, 3] = 5
    path = dtw_path(cost)
    assert is_path(path, 4, 4)
    assert cost[path[:, 0], path[:, 1]].isfinite().all()


def test_path_takes_one_matrix():
    with pytest.raises(ValueError, match="one cost matrix"):
        dtw_path(torch.rand(2, 3, 3))


def test_a_second_derivative_raises():
    cost = torch.rand(3, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(dtw(cost), cost, create_graph=True)
    with pytest.raises(RuntimeError, match=r"no second derivative.*finite differences"):
        gradient.sum().backward()
