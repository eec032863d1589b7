import pytest
import torch

from pyg_fsar.matching import diagonal


def test_mean_and_sum():
    cost = torch.arange(9.0).view(1, 3, 3)
    assert diagonal(cost).tolist() == [4]
    assert diagonal(cost, reduce="sum").tolist() == [12]
    lengths = torch.tensor([2])
    assert diagonal(cost, lengths=(lengths, lengths)).tolist() == [2]
    assert diagonal(cost, reduce="sum", lengths=(lengths, lengths)).tolist() == [4]


def test_query_and_support_of_different_length_are_refused():
    with pytest.raises(ValueError, match="3 and 4 frames; resample the clips"):
        diagonal(torch.rand(2, 3, 4))
    with pytest.raises(ValueError, match="lengths 2 and 1; resample the clips"):
        diagonal(torch.rand(2, 3, 3), lengths=(torch.tensor([3, 2]), torch.tensor([3, 1])))


def test_unknown_reduction():
    with pytest.raises(ValueError, match="'mean' or 'sum', got 'max'"):
        diagonal(torch.rand(3, 3), reduce="max")
