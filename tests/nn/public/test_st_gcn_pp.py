"""Checkpoints of ST-GCN++, beside a plain channels-first form of PYSKL's network."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from references import PublicForm
from torch import Tensor

from pyg_fsar import FewShotClassifier, FewShotModel, Skeleton
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.matching import build_matcher
from pyg_fsar.nn import STGCNPP, stgcnpp_from_public

HAND = ((64, 1),) * 5 + ((128, 2),)
SMALL = ((12, 1), (12, 1), (20, 2))


def branches(form: PublicForm, name: str, x: Tensor, channels: int, stride: int) -> Tensor:
    """The branches over time, of which the first has the channels that are left over."""
    width = channels // 6
    widths = [channels - 5 * width] + [width] * 5
    outs = []
    for number, size in enumerate(widths[:5]):
        y = form.norm(f"{name}.{number}.1", form.conv(f"{name}.{number}.0", x, size)).relu()
        if number < 4:
            outs.append(form.conv(f"{name}.{number}.3.conv", y, size, 3, stride, number + 1))
        else:
            outs.append(F.max_pool2d(y, (3, 1), (stride, 1), (1, 0)))
    outs.append(form.conv(f"{name}.5", x, width, stride=stride))
    return torch.cat(outs, dim=1)


def network(form: PublicForm, x: Tensor, plan: tuple[tuple[int, int], ...]) -> Tensor:
    """Features of bodies ``[B, C, T, V]``."""
    x = form.input_norm(x)
    for number, (channels, stride) in enumerate(plan):
        block, v = f"gcn.{number}", x.size(3)
        graphs = form.tensor(f"{block}.gcn.A", 3, v, v)
        mixed = form.conv(f"{block}.gcn.conv", x, 3 * channels).unflatten(1, (3, channels))
        y = form.norm(f"{block}.gcn.bn", torch.einsum("bkctv,kvw->bctw", mixed, graphs))
        y = (y + form.down(f"{block}.gcn.down", x, channels)).relu()
        y = branches(form, f"{block}.tcn.branches", y, channels, stride)
        y = form.norm(f"{block}.tcn.transform.0", y).relu()
        y = form.norm(f"{block}.tcn.bn", form.conv(f"{block}.tcn.transform.2", y, channels))
        x = (y + form.residual(f"{block}.residual", x, channels, stride, number == 0)).relu()
    return x


def random_checkpoint(joints: int = 17) -> dict[str, Tensor]:
    form = PublicForm()
    network(form, torch.randn(1, 3, 9, joints), SMALL)
    return form.state


@pytest.fixture(scope="module")
def hand(checkpoints_root: Path) -> dict[str, Tensor]:
    """The genuine checkpoint of hand gestures."""
    return torch.load(checkpoints_root / "pyskl_hagrid_stgcnpp.pth", weights_only=True)


@pytest.mark.parametrize("prefix", ["", "backbone.", "module.backbone."])
def test_random_state(prefix: str) -> None:
    state = random_checkpoint()
    x = torch.randn(2, 3, 13, 17)
    expected = network(PublicForm(state), x, SMALL).permute(0, 2, 3, 1)
    public = {prefix + key: value for key, value in state.items()}
    public["cls_head.fc_cls.weight"] = torch.zeros(60, 20)
    encoder = stgcnpp_from_public({"state_dict": public}, "coco17", dropout=0.3)
    assert not encoder.training
    assert encoder.blocks[1].dropout.p == 0.3
    assert expected.std() > 1e-3
    torch.testing.assert_close(encoder(x.permute(0, 2, 3, 1)), expected, rtol=1e-4, atol=1e-4)


def test_genuine_checkpoint_of_hands(hand: dict[str, Tensor], checkpoints_root: Path) -> None:
    encoder = stgcnpp_from_public(checkpoints_root / "pyskl_hagrid_stgcnpp.pth", "hand21")
    assert encoder.skeleton is Skeleton.get("hand21")
    x = torch.rand(3, 2, 40, 21) * 2 - 1
    state = {key.removeprefix("backbone."): value for key, value in hand.items()}
    expected = network(PublicForm(state), x, HAND)
    features = encoder(x.permute(0, 2, 3, 1))
    head = hand["cls_head.fc_cls.weight"], hand["cls_head.fc_cls.bias"]
    logits = F.linear(features.mean(dim=(1, 2)), *head)
    wanted = F.linear(expected.mean(dim=(2, 3)), *head)
    assert wanted.std() > 0.1
    torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-4)


def test_genuine_checkpoint_in_a_few_shot_model(hand: dict[str, Tensor], tmp_path: Path) -> None:
    model = FewShotModel(stgcnpp_from_public(hand, "hand21"), build_matcher("dtw"))
    rng = np.random.default_rng(0)
    poses = rng.uniform(-0.5, 0.5, (3, 1, 1, 21, 2))
    clips = [
        SkeletonSequence.from_bodies(
            poses[label] + rng.normal(scale=0.02, size=(1, 20, 21, 2)), skeleton="hand21"
        )
        for label in (0, 1, 2, 0, 1, 2)
    ]
    classifier = FewShotClassifier(model).fit(clips[:3], ["a", "b", "c"])
    assert classifier.predict(clips[3:]).tolist() == ["a", "b", "c"]
    classifier.save(tmp_path / "hands")
    again = FewShotClassifier.load(tmp_path / "hands")
    np.testing.assert_allclose(
        again.predict_proba(clips[3:]), classifier.predict_proba(clips[3:]), rtol=1e-5
    )


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    encoder = stgcnpp_from_public(random_checkpoint(), "coco17")
    encoder.save_pretrained(tmp_path)
    x = torch.randn(2, 9, 17, 3)
    assert torch.equal(STGCNPP.from_pretrained(tmp_path)(x), encoder(x))


def without(state: dict[str, Tensor], pattern: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not re.search(pattern, key)}


def test_refuses_what_does_not_fit() -> None:
    state = random_checkpoint()
    with pytest.raises(ValueError, match="the checkpoint has 17 joints, but skeleton 'ntu25'"):
        stgcnpp_from_public(state)
    with pytest.raises(ValueError, match=r"lacks the spatial weights of block 1"):
        stgcnpp_from_public(without(state, r"gcn\.1\.gcn\.conv"), "coco17")
    with pytest.raises(ValueError, match=r"(?s)does not fit STGCNPP.*reduce\.norm\.running_mean"):
        stgcnpp_from_public(without(state, r"2\.tcn.*\.1\.running_mean"), "coco17")
    with pytest.raises(ValueError, match=r"gcn\.0\.gcn\.A has 3 graphs.*has 1; give another"):
        stgcnpp_from_public(state, "coco17", strategy="uniform")
    with pytest.raises(ValueError, match=r"(?s)does not fit.*tcn\.branches\.3\.3\.conv"):
        stgcnpp_from_public(state, "coco17", dilations=(1, 2, 3))
    with pytest.raises(ValueError, match=r"gcn\.0\.gcn\.PA: nothing in STGCNPP is equal"):
        stgcnpp_from_public({**state, "gcn.0.gcn.PA": torch.zeros(3, 17, 17)}, "coco17")
    with pytest.raises(ValueError, match=r"an empty checkpoint: .* those of stgcnpp_from_public"):
        stgcnpp_from_public({"cls_head.fc_cls.weight": torch.zeros(1)}, "coco17")
    for content in ({}, [torch.zeros(1)], {"state_dict": 3}, {0: torch.zeros(1)}):
        with pytest.raises(ValueError, match="no tensors by name"):
            stgcnpp_from_public(content, "coco17")


@pytest.mark.parametrize(
    "key",
    [
        "gcn.0.gcn.A",
        "gcn.0.gcn.conv.weight",
        "gcn.0.tcn.branches.0.0.weight",
        "gcn.0.tcn.branches.0.3.conv.weight",
        "gcn.1.tcn.transform.2.weight",
    ],
)
def test_refuses_broken_tensors(key: str) -> None:
    state = random_checkpoint()
    for broken in (torch.tensor(1.0), torch.zeros(3)):
        with pytest.raises(ValueError, match=r"shape|joints|rows"):
            stgcnpp_from_public({**state, key: broken}, "coco17")
    state[key].view(-1)[0] = torch.nan
    with pytest.raises(ValueError, match=f"^{re.escape(key)} of the checkpoint has values"):
        stgcnpp_from_public(state, "coco17")


@pytest.mark.parametrize(
    ("key", "loader"),
    [
        ("gcn.0.gcn.conv_d.0.weight", "aagcn_from_public"),
        ("net.0.gcn1.convs.0.conv4.weight", "ctrgcn_from_public"),
        ("st_gcn_networks.0.gcn.conv.weight", "stgcn_from_public"),
    ],
)
def test_names_the_loader_that_fits(key: str, loader: str) -> None:
    state = {"data_bn.weight": torch.zeros(1), key: torch.zeros(1)}
    with pytest.raises(ValueError, match=f"^{re.escape(key)}: nothing .* {loader} reads networks"):
        stgcnpp_from_public(state, "coco17")


def test_code_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": Evil(str(tmp_path / "ran"))}, path)
    with pytest.raises(ValueError, match=r"evil\.pth cannot be loaded.*(?s:.*)save its state dict"):
        stgcnpp_from_public(path, "coco17")
    assert not (tmp_path / "ran").exists()
    with pytest.raises(FileNotFoundError, match="there is no file"):
        stgcnpp_from_public(tmp_path / "absent.pth", "coco17")


class Evil:
    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return open, (self.target, "w")
