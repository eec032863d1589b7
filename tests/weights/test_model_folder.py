from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch_geometric.transforms import BaseTransform, Compose

from pyg_fsar import FewShotClassifier, FewShotModel, load_pretrained
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.matching import MotionMatcher
from pyg_fsar.nn import MotionEncoder
from pyg_fsar.transforms import RandomProjection, motion_transform
from pyg_fsar.weights import load_model, save_model


def make() -> FewShotModel:
    encoder = MotionEncoder("body15", width=8, num_blocks=1)
    return FewShotModel(encoder, MotionMatcher("body15", learned=6))


def test_holds_model_and_preparation(tmp_path) -> None:
    model, transform = make(), motion_transform(12)
    save_model(tmp_path / "new", model, transform)
    again, prepared = load_model(tmp_path / "new")
    assert repr(prepared) == repr(transform) and not again.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    plain = FewShotModel.from_pretrained(tmp_path / "new")
    assert plain.matcher.learned == 6


def test_the_classifier_takes_both_from_the_folder(tmp_path) -> None:
    model, transform = make().eval(), motion_transform(12)
    save_model(tmp_path, model, transform)
    rng = np.random.default_rng(0)
    clips = [
        SkeletonSequence.from_bodies(rng.normal(size=(1, 20, 25, 3)).astype(np.float32))
        for _ in range(5)
    ]
    expected = FewShotClassifier(model, transform=transform).fit(clips[:3], ["a", "b", "c"])
    found = FewShotClassifier(tmp_path).fit(clips[:3], ["a", "b", "c"])
    np.testing.assert_array_equal(found.predict_proba(clips), expected.predict_proba(clips))
    given = FewShotClassifier(tmp_path, transform=motion_transform(7))
    assert given.transform.transforms[-1].num_frames == 7


def test_a_transform_of_ones_own_is_refused(tmp_path) -> None:
    class Own(BaseTransform):
        def forward(self, clip):
            return clip

    with pytest.raises(ValueError, match=r"cannot be saved; use transforms of this package"):
        save_model(tmp_path / "own", make(), Compose([RandomProjection(), Own()]))
    assert not (tmp_path / "own").exists()


def test_other_folders_are_refused(tmp_path) -> None:
    make().save_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no folder of a model .*preparation\.json"):
        load_model(tmp_path)
    save_model(tmp_path / "model", *load_pretrained())
    with pytest.raises(FileNotFoundError, match=r"; give .*model$"):
        load_model(tmp_path)
    path = tmp_path / "model" / "preparation.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"transform": None}))
    with pytest.raises(ValueError, match=r"preparation\.json is damaged"):
        load_model(tmp_path / "model")
