import pytest
from torch import nn

from pyg_fsar.nn.evaluation_mode import evaluation_mode


def test_every_part_gets_its_mode_back_also_after_an_error():
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2), nn.Dropout()))
    model[1][0].eval()
    before = [part.training for part in model.modules()]
    with pytest.raises(KeyError), evaluation_mode(model):
        assert not any(part.training for part in model.modules())
        raise KeyError
    assert [part.training for part in model.modules()] == before
