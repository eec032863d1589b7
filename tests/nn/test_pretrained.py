from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch_geometric.nn as gnn
from torch import Tensor, nn

from pyg_fsar import FewShotModel, Skeleton
from pyg_fsar.data import Episode
from pyg_fsar.matching import MATCHERS, build_matcher, matcher_options, views_of
from pyg_fsar.nn import (
    STGCN,
    FrameEncoder,
    MultiStream,
    PairNorm,
    PretrainedModule,
    RankMax,
    SkeletonEncoder,
)

STICK = Skeleton(
    "stick4",
    ("hip", "knee", "foot", "toe"),
    bones=((1, 0), (2, 1), (3, 2)),
    pairs=((2, 3),),
    parts={"leg": (1, 2)},
    dims=2,
)
PLAN = [(4, 1), (8, 2)]


class Scaled(STGCN):
    """An encoder of a user, with arguments of its own."""

    def __init__(self, width: int, *, factor: float = 2.0, **options: Any) -> None:
        super().__init__(STICK, plan=[(width, 1)], **options)
        self.factor = factor

    def encode(self, x: Tensor) -> Tensor:
        return self.factor * super().encode(x)


class SavedGAT(PretrainedModule, gnn.GAT):
    """A PyG model that is saved with its arguments."""


class Unnamed(PretrainedModule):
    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(*sizes)


class Tied(PretrainedModule):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(3, 3)
        self.two = nn.Linear(3, 3)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x))


MODULES: dict[str, Callable[[], PretrainedModule]] = {
    "STGCN": lambda: STGCN("coco17", plan=PLAN),
    "every option": lambda: STGCN(
        "coco17", 2, 4, "distance", 0.2, True, PairNorm(3.0, "PN-SI"), 0.3, 3, "channel", PLAN
    ),
    "own skeleton": lambda: STGCN(STICK, in_channels=2, plan=PLAN),
    "double": lambda: STGCN("coco17", plan=PLAN).double(),
    "half": lambda: STGCN("coco17", plan=PLAN).bfloat16(),
    "subclass": lambda: Scaled(8, factor=3.0, kernel_size=3),
    "PyG model that inherits": lambda: FrameEncoder(
        SavedGAT(3, 8, num_layers=2, norm="pair_norm"), "coco17", num_temporal=1
    ),
}


def input_for(module: PretrainedModule) -> Tensor:
    return torch.randn(2, 9, module.skeleton.num_joints, module.in_channels).to(
        next(module.parameters()).dtype
    )


def train_a_little(module: nn.Module, x: Tensor) -> None:
    """Leaves nothing as the constructor made it, batch statistics included."""
    module.train()
    module(x).square().sum().backward()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    module.eval()


@pytest.mark.parametrize("name", MODULES)
def test_round_trip_is_exact(name: str, tmp_path: Path) -> None:
    module = MODULES[name]()
    x = input_for(module)
    train_a_little(module, x)
    module.save_pretrained(tmp_path / "new" / "folder")
    again = type(module).from_pretrained(tmp_path / "new" / "folder")
    assert type(again) is type(module)
    assert not again.training
    assert repr(again) == repr(module)
    assert again.skeleton == module.skeleton
    for (key, value), (other_key, other) in zip(
        module.state_dict().items(), again.state_dict().items(), strict=True
    ):
        assert key == other_key
        assert value.dtype == other.dtype and value.stride() == other.stride()
        assert torch.equal(value, other)
    assert torch.equal(again(x), module(x))
    again.save_pretrained(tmp_path / "twice")
    for file in ("config.json", "model.safetensors"):
        first, second = (tmp_path / folder / file for folder in ("new/folder", "twice"))
        assert first.read_bytes() == second.read_bytes()


def test_functions_that_make_encoders(tmp_path: Path) -> None:
    encoder = MultiStream(functools.partial(STGCN, STICK, plan=PLAN), ("joint", "bone")).eval()
    model = FewShotModel(encoder, build_matcher("dtw")).eval()
    model.save_pretrained(tmp_path)
    again = FewShotModel.from_pretrained(tmp_path)
    x = torch.randn(2, 9, 4, 3)
    assert torch.equal(again.encoder(x), encoder(x))

    FewShotModel(MultiStream(lambda: encoder), build_matcher("dtw")).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"'encoder_factory' of MultiStream .*lambda.*holds it"):
        FewShotModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", sorted(MATCHERS))
def test_whole_few_shot_model(name: str, tmp_path: Path) -> None:
    channels = {"channels": 8} if "channels" in matcher_options(name) else {}
    matcher = build_matcher(name, shots="average", learn_scale=True, **channels)
    stick = STICK if views_of(matcher) is None else dataclasses.replace(STICK, dims=3)
    model = FewShotModel(STGCN(stick, plan=PLAN, dropout=0.0), matcher, RankMax("fbnm")).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    episode = Episode(
        torch.randn(6, 9, 4, 3),
        body_to_clip=torch.arange(6),
        lengths=torch.full((6,), 9),
        support_y=torch.arange(2),
        query_y=torch.tensor([0, 0, 1, 1]),
        classes=torch.arange(2),
    )
    model.save_pretrained(tmp_path)
    again = FewShotModel.from_pretrained(tmp_path)
    assert repr(again) == repr(model)
    assert torch.equal(again(episode)[0], model(episode)[0])
    assert torch.equal(again.train()(episode)[1], model.train()(episode)[1])


def test_base_class_loads_every_encoder(tmp_path: Path) -> None:
    STGCN(STICK, plan=PLAN).save_pretrained(tmp_path)
    again = SkeletonEncoder.from_pretrained(tmp_path)
    assert isinstance(again, STGCN)
    assert again.skeleton == STICK and STICK.name not in Skeleton.available()


def test_tied_weights_and_weights_with_gaps(tmp_path: Path) -> None:
    module = Tied().eval()
    module.one.bias = nn.Parameter(torch.randn(3, 2)[:, 0])
    module.save_pretrained(tmp_path)
    again = Tied.from_pretrained(tmp_path)
    x = torch.randn(5, 3)
    assert again.one.weight is again.two.weight
    assert torch.equal(again(x), module(x))


def test_what_json_cannot_hold_is_given_again(tmp_path: Path) -> None:
    encoder = FrameEncoder(gnn.GAT(3, 8, num_layers=2), "coco17").eval()
    encoder.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"argument 'gnn' of FrameEncoder.*GAT\(3, 8.*by name"):
        FrameEncoder.from_pretrained(tmp_path)
    again = FrameEncoder.from_pretrained(tmp_path, gnn=gnn.GAT(3, 8, num_layers=2))
    x = torch.randn(2, 5, 17, 3)
    assert torch.equal(again(x), encoder(x))
    with pytest.raises(RuntimeError, match=r"(?s)model\.safetensors does not fit .*size mismatch"):
        FrameEncoder.from_pretrained(tmp_path, gnn=gnn.GAT(3, 4, num_layers=2))
    with pytest.raises(ValueError, match=r"cannot make pyg_fsar\.FrameEncoder.*'layers'"):
        FrameEncoder.from_pretrained(tmp_path, gnn=gnn.GAT(3, 8, num_layers=2), layers=2)


def test_functions_of_a_user_are_given_again(tmp_path: Path) -> None:
    model = FewShotModel(STGCN(STICK, plan=PLAN), build_matcher("soft_dtw"))
    model.matcher = type(model.matcher)(model.matcher.cost, lambda cost, lengths=None: cost.sum())
    model.matcher.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"argument 'aligner' of Matcher.*lambda"):
        type(model.matcher).from_pretrained(tmp_path)


def test_defaults_of_today_are_stored(tmp_path: Path) -> None:
    STGCN("coco17", plan=PLAN).save_pretrained(tmp_path)
    arguments = json.loads((tmp_path / "config.json").read_text())["arguments"]
    assert arguments.keys() == inspect.signature(STGCN).parameters.keys()
    assert (arguments["kernel_size"], arguments["strategy"]) == (9, "spatial")


def test_signatures_copies_and_pickles_stay(tmp_path: Path) -> None:
    assert list(inspect.signature(STGCN).parameters)[:2] == ["skeleton", "in_channels"]
    module = STGCN(STICK, plan=PLAN).eval()
    x = torch.randn(1, 5, 4, 3)
    for number, twin in enumerate((copy.deepcopy(module), pickle.loads(pickle.dumps(module)))):
        twin.save_pretrained(tmp_path / str(number))
        assert torch.equal(STGCN.from_pretrained(tmp_path / str(number))(x), module(x))


def test_saving_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    STGCN(STICK, plan=[(4, 1)]).save_pretrained(tmp_path)
    module = STGCN(STICK, plan=PLAN).eval()
    module.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    x = torch.randn(1, 5, 4, 3)
    assert torch.equal(STGCN.from_pretrained(tmp_path)(x), module(x))


def test_refuses_to_save_what_would_not_come_back(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"Unnamed takes \*sizes"):
        Unnamed(3, 4).save_pretrained(tmp_path)
    mixed = STGCN(STICK, plan=PLAN)
    mixed.blocks.half()
    with pytest.raises(ValueError, match=r"mixes torch\.float16, torch\.float32"):
        mixed.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    STGCN(STICK, plan=PLAN).save_pretrained(tmp_path)
    return tmp_path


def test_missing_files(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file nowhere.config\.json.*save_pretrained"):
        STGCN.from_pretrained("nowhere")
    (saved / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        STGCN.from_pretrained(saved)


def test_class_mismatch(saved: Path) -> None:
    with pytest.raises(ValueError, match=r"config\.json is of class pyg_fsar\.STGCN.*load it with"):
        FrameEncoder.from_pretrained(saved)
    assert isinstance(PretrainedModule.from_pretrained(saved), STGCN)
    change(saved, lambda config: config.update({"class": "elsewhere.Net"}))
    with pytest.raises(ValueError, match=r"elsewhere\.Net, which is not known; import"):
        PretrainedModule.from_pretrained(saved)


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    edit(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"class": "pyg_fsar.STGCN"}', "\x00\xff"])
def test_damaged_config(text: str, saved: Path) -> None:
    (saved / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        STGCN.from_pretrained(saved)


@pytest.mark.parametrize(
    "edit",
    [
        lambda config: config["arguments"].pop("skeleton"),
        lambda config: config["arguments"].update(unheard_of=1),
        lambda config: config["arguments"]["skeleton"]["$skeleton"].pop("joints"),
        lambda config: config["arguments"].update(norm={"$module": {}}),
    ],
)
def test_config_of_another_version(edit: Callable[[dict[str, Any]], object], saved: Path) -> None:
    change(saved, edit)
    with pytest.raises(ValueError, match=r"cannot make pyg_fsar\.STGCN of .*config\.json"):
        STGCN.from_pretrained(saved)


@pytest.mark.parametrize(
    "name", ["os.system", "pyg_fsar.nn.pretrained", "pyg_fsar.nn.import_module"]
)
def test_config_names_no_foreign_function(name: str, saved: Path) -> None:
    change(saved, lambda config: config["arguments"].update(norm={"$function": name}))
    with pytest.raises(ValueError, match="which is not known"):
        STGCN.from_pretrained(saved)


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_damaged_weights(cut: int, saved: Path) -> None:
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:cut])
    with pytest.raises(RuntimeError, match=r"cannot read .*model\.safetensors.*save it again"):
        STGCN.from_pretrained(saved)


def test_pickles_are_never_loaded(saved: Path) -> None:
    torch.save(STGCN(STICK, plan=PLAN).state_dict(), saved / "model.safetensors")
    with pytest.raises(RuntimeError, match="no safetensors file"):
        STGCN.from_pretrained(saved)


def test_weights_of_another_module(saved: Path, tmp_path: Path) -> None:
    STGCN(STICK, plan=[(4, 1)]).save_pretrained(tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").replace(saved / "model.safetensors")
    with pytest.raises(RuntimeError, match=r"safetensors: .* does not belong to config\.json"):
        STGCN.from_pretrained(saved)
    change(saved, lambda config: [config.pop(key) for key in ("files", "checksum")])
    with pytest.raises(RuntimeError, match=r"(?s)safetensors does not fit .*config.*blocks\.1"):
        STGCN.from_pretrained(saved)
