"""Hooks of the parts of a model are called, and those that are not are told of."""

from __future__ import annotations

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from pyg_fsar import FewShotClassifier, FewShotModel
from pyg_fsar.datasets import SkeletonArrays
from pyg_fsar.matching import build_matcher
from pyg_fsar.nn import MotionEncoder
from pyg_fsar.training import TrainingOptions, evaluate, fit


@pytest.fixture
def clips():
    return SkeletonArrays(list(torch.randn(12, 1, 4, 15, 3)), [0, 1, 2] * 4, skeleton="body15")


def evaluated(model, clips, folder):
    evaluate(model, clips, n_way=2, n_query=1, num_episodes=1)


def classified(model, clips, folder):
    FewShotClassifier(model).fit(clips, clips.labels).predict(clips)


def trained(model, clips, folder):
    options = TrainingOptions(
        n_way=2, n_query=1, epochs=1, train_episodes=1, val_episodes=1, classification=1.0,
        accelerator="cpu",
    )  # fmt: skip
    fit(Fabric(accelerator="cpu", devices=1), model, clips, clips, options, folder)


@pytest.mark.parametrize("use", [evaluated, classified, trained])
def test_hooks_of_parts_are_called_and_those_of_the_model_cause_a_warning(use, clips, tmp_path):
    model, seen = FewShotModel(MotionEncoder(width=8), build_matcher("dtw")), set()
    for part in ("encoder", "encoder.input", "matcher", "matcher.cost"):
        module = model.get_submodule(part)
        module.register_forward_hook(lambda *_, part=part: seen.add(part))
    use(model, clips, tmp_path)
    assert seen == {"encoder", "encoder.input", "matcher", "matcher.cost"}
    model.register_forward_hook(lambda *_: None)
    with pytest.warns(UserWarning, match=r"hooks of the model itself are not called; register"):
        use(model, clips, tmp_path / "again")


def test_a_module_without_hooks_causes_no_warning(clips, tmp_path):
    evaluated(FewShotModel(nn.Identity(), build_matcher("dtw")), clips, tmp_path)
