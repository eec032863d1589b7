"""What a model folder that somebody else made can do: nothing but be loaded or refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import pyg_fsar
from pyg_fsar import FewShotClassifier, FewShotModel, Skeleton
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.matching import build_matcher
from pyg_fsar.nn import STGCN, MultiStream, PretrainedModule
from pyg_fsar.saving import pack_manifest

CONFIG, WEIGHTS = "config.json", "model.safetensors"
STGCN_ARGUMENTS = {"skeleton": "coco17", "plan": [[4, 1]]}


def exported_callables() -> list[str]:
    """Everything that this package exports and that could be called."""
    names = []
    for package in pyg_fsar.SUBPACKAGES:
        module = getattr(pyg_fsar, package)
        names += [f"pyg_fsar.{package}.{name}" for name in module.__all__]
    return names


def few_shot_model() -> FewShotModel:
    torch.manual_seed(0)
    return FewShotModel(STGCN("coco17", plan=[(4, 1)]), build_matcher("soft_dtw", gamma=0.1)).eval()


def plant(folder: Path, config: dict[str, Any], signed: bool = True) -> None:
    """Write a config, with a right checksum as an attacker would."""
    config = {key: config[key] for key in ("class", "arguments")}
    files = {WEIGHTS: (folder / WEIGHTS).read_bytes()}
    data = pack_manifest(config, files) if signed else json.dumps(config).encode()
    (folder / CONFIG).write_bytes(data)


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / CONFIG).read_text())


def places(node: Any) -> Iterator[Callable[[Any], None]]:
    """Every place of a config, as a function that puts something else there."""
    if isinstance(node, dict | list):
        for key in list(node) if isinstance(node, dict) else range(len(node)):

            def put(value: Any, node: Any = node, key: Any = key) -> None:
                node[key] = value

            yield put
            yield from places(node[key])


def partial(function: dict[str, str], *args: Any, **keywords: Any) -> dict[str, Any]:
    return {"$partial": function, "args": list(args), "keywords": keywords}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    few_shot_model().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def precious(tmp_path: Path) -> Iterator[Path]:
    """A file and a folder that must stay what they are, while nothing is deleted or run."""
    folder = tmp_path / "precious"
    (folder / "data").mkdir(parents=True)
    (folder / "thesis.skeleton").write_text("years of work")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    started: list[Any] = []
    watching = True

    def watch(event: str, arguments: Any) -> None:
        if watching and event in ("os.system", "shutil.rmtree"):
            started.append((event, arguments))

    sys.addaudithook(watch)
    yield folder
    watching = False
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert (folder / "data").is_dir()
    assert not started


def attacks(precious: Path) -> list[Any]:
    file, folder = str(precious / "thesis.skeleton"), str(precious / "data")
    writer = {"$function": "pyg_fsar.datasets.write_ntu_skeleton"}
    dataset = {"$class": "pyg_fsar.datasets.NTURGBD"}
    again = {"root": folder, "processed_dir": str(precious), "force_reload": True}
    return [
        partial(writer, file, [[[[0.0] * 3] * 25]]),
        partial(writer, path=file, bodies=[[[[0.0] * 3] * 25]]),
        partial({"$function": "pyg_fsar.datasets.PYSKLPickle"}, file, force_reload=True),
        partial({"$function": "pyg_fsar.datasets.NTURGBD"}, **again),
        partial(dataset, **again),
        partial(partial(dataset, folder), **again),
        partial({"$function": "os.system"}, f"touch {precious}/new"),
        partial({"$function": "shutil.rmtree"}, folder),
        partial({"$class": "pyg_fsar.STGCN"}, writer),
        partial({"$function": "pyg_fsar.saving.write_files"}, folder, {}),
        {"$module": {"class": "pyg_fsar.datasets.NTURGBD", "arguments": again}},
        {"$value": {"class": "pyg_fsar.FewShotClassifier", "arguments": {"model": folder}}},
        {"$module": {"class": "builtins.open", "arguments": {"file": file, "mode": "w"}}},
        {"$function": "pyg_fsar.training.load_checkpoint"},
        {"$function": "builtins.open"},
        {"$class": "pathlib.Path"},
    ]


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("number", range(16))
def test_functions_planted_anywhere_are_refused(
    saved: Path, precious: Path, number: int, signed: bool
) -> None:
    attack = attacks(precious)[number]
    whole = read(saved)
    count = sum(1 for _ in places(whole["arguments"]))
    refused = 0
    for place in range(0, count, 1 if number < 2 else 7):
        config = read(saved)
        list(places(config["arguments"]))[place](attack)
        plant(saved, config, signed)
        with pytest.raises(ValueError, match=r"config\.json") as caught:
            PretrainedModule.from_pretrained(saved)
        assert "years of work" not in str(caught.value)
        refused += 1
        plant(saved, whole)
    assert refused > 5


@pytest.mark.parametrize("number", range(16))
def test_factories_and_penalties_call_nothing_else(
    tmp_path: Path, precious: Path, number: int
) -> None:
    """What a constructor would call is the shortest way to run a function."""
    folder = tmp_path / "streams"
    MultiStream(lambda: STGCN("coco17", plan=[(4, 1)])).save_pretrained(folder)
    attack = attacks(precious)[number]
    for factory in (
        attack,
        partial(attack),
        partial({"$class": "pyg_fsar.STGCN"}, attack),
        partial({"$class": "pyg_fsar.STGCN"}, **STGCN_ARGUMENTS, norm=attack),
        partial({"$class": "pyg_fsar.MultiStream"}, attack),
        partial({"$class": "pyg_fsar.FewShotModel"}, encoder=attack, matcher=attack),
        {"$tuple": [{"a": [attack]}]},
    ):
        config = read(folder)
        config["arguments"]["encoder_factory"] = factory
        plant(folder, config)
        for base in (MultiStream, PretrainedModule):
            with pytest.raises(ValueError, match=r"config\.json"):
                base.from_pretrained(folder)


def test_a_classifier_runs_nothing_either(tmp_path: Path, precious: Path) -> None:
    clips = [SkeletonSequence.from_bodies(torch.randn(1, 9, 17, 3), skeleton="coco17")] * 2
    folder = tmp_path / "classifier"
    FewShotClassifier(few_shot_model()).fit(clips, ["a", "b"]).save(folder)
    for attack in attacks(precious):
        config = read(folder)
        config["arguments"]["matcher"]["$module"]["arguments"]["aligner"] = attack
        plant(folder, config)
        others = {name: (folder / name).read_bytes() for name in (CONFIG, WEIGHTS)}
        others["support.safetensors"] = (folder / "support.safetensors").read_bytes()
        stored = json.loads((folder / "classifier.json").read_text())
        stored = {key: stored[key] for key in stored if key not in ("files", "checksum")}
        (folder / "classifier.json").write_bytes(pack_manifest(stored, others))
        with pytest.raises(ValueError, match=r"config\.json"):
            FewShotClassifier.load(folder)


def test_only_modules_transforms_and_aligners_can_be_named(saved: Path) -> None:
    """Of all that the package exports, and in every way of naming it."""
    aligners = {
        f"pyg_fsar.matching.{name}"
        for name in ("bimhm", "diagonal", "dtw", "otam", "mhm", "tcmhm", "jeanie")
    }
    accepted = set()
    for name in exported_callables():
        for node in ({"$function": name}, {"$class": name}):
            config = read(saved)
            config["arguments"]["penalty"] = [node]
            plant(saved, config)
            # A list is no penalty, so the model is refused after all that it names was found.
            with pytest.raises(ValueError, match=r"not known|penalty must be") as refused:
                FewShotModel.from_pretrained(saved)
            if "not known" not in str(refused.value):
                accepted.add(name)
    assert accepted >= aligners
    assert {name.rsplit(".", 1)[0] for name in accepted} <= {
        "pyg_fsar.matching", "pyg_fsar.transforms"
    }  # fmt: skip
    for name in accepted - aligners - {"pyg_fsar.matching.soft_dtw"}:
        assert isinstance(getattr(pyg_fsar.transforms, name.rsplit(".", 1)[1], None), type) or (
            hasattr(getattr(pyg_fsar.matching, name.rsplit(".", 1)[1]), "__dataclass_fields__")
        )


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    STGCN("coco17", plan=[(2, 1)], kernel_size=3).save_pretrained(folder)
    rng = np.random.default_rng(0)
    for name in (CONFIG, WEIGHTS):
        content = (folder / name).read_bytes()
        for bit in rng.choice(8 * len(content), 150, replace=False):
            damaged = bytearray(content)
            damaged[bit // 8] ^= 1 << int(bit % 8)
            (folder / name).write_bytes(damaged)
            with pytest.raises((ValueError, RuntimeError), match=name) as caught:
                STGCN.from_pretrained(folder)
            assert "again" in str(caught.value), bit
        (folder / name).write_bytes(content)
    STGCN.from_pretrained(folder)


def unsigned(folder: Path, state: dict[str, torch.Tensor]) -> None:
    save_file(state, folder / WEIGHTS)
    plant(folder, read(folder))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("blocks.0.spatial.weight", torch.nan),
        ("blocks.0.spatial.weight", torch.inf),
        ("input_norm.running_var", torch.nan),
    ],
)
def test_weights_that_are_not_finite_are_named(tmp_path: Path, name: str, value: float) -> None:
    STGCN("coco17", plan=[(4, 1)]).save_pretrained(tmp_path)
    state = load_file(tmp_path / WEIGHTS)
    state[name].view(-1)[1] = value
    unsigned(tmp_path, state)
    with pytest.raises(ValueError, match=rf"'{name}' in .*safetensors is (NaN|infinite)"):
        STGCN.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"plan": [[100_000, 1]]},
        {"plan": [[4, 1]] * 10_000},
        {"num_blocks": 10**9, "plan": None},
        {"in_channels": 2**40},
        {"kernel_size": 2**50 + 1},
    ],
)
def test_a_module_larger_than_its_weights_is_not_made(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    STGCN("coco17", plan=[(4, 1)]).save_pretrained(tmp_path)
    config = read(tmp_path)
    config["arguments"] |= change
    plant(tmp_path, config)
    with pytest.raises(ValueError, match=r"cannot make pyg_fsar\.STGCN of .*config\.json"):
        STGCN.from_pretrained(tmp_path)


def test_a_transform_is_an_argument_like_others(tmp_path: Path) -> None:
    class Prepared(PretrainedModule):
        def __init__(self, transform: Any = None, skeleton: str | Skeleton = "coco17") -> None:
            super().__init__()
            self.transform = transform

    from pyg_fsar.training import clip_transform

    transform = clip_transform(8, train=True, motion_only=True)
    Prepared(transform).save_pretrained(tmp_path)
    assert repr(Prepared.from_pretrained(tmp_path).transform) == repr(transform)
    for attack in attacks(tmp_path):
        config = read(tmp_path)
        config["arguments"]["transform"]["$value"]["arguments"]["transforms"] = [attack]
        plant(tmp_path, config)
        with pytest.raises(ValueError, match=r"config\.json"):
            Prepared.from_pretrained(tmp_path)
        Prepared(transform).save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {CONFIG, WEIGHTS}
