"""Checkpoints of CTR-GCN, beside a plain channels-first form of PYSKL's network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from references import PublicForm
from torch import Tensor

from pyg_fsar.nn import CTRGCN, PYSKLCTRGCN, ctrgcn_from_public

PLAN = ((8, 1), (8, 1), (16, 2), (16, 1))


def graph_convolution(form: PublicForm, name: str, x: Tensor, channels: int) -> Tensor:
    v, relations = x.size(3), 8 if x.size(1) <= 3 else x.size(1) // 8
    relations = 8 if x.size(1) < 16 else relations
    alpha = form.tensor(f"{name}.alpha", 1)
    graphs = form.tensor(f"{name}.A", 3, v, v)
    out: Tensor | int = 0
    for k in range(3):
        conv = f"{name}.convs.{k}"
        first = form.conv(f"{conv}.conv1", x, relations).mean(dim=2)
        second = form.conv(f"{conv}.conv2", x, relations).mean(dim=2)
        value = form.conv(f"{conv}.conv3", x, channels)
        difference = (first.unsqueeze(-1) - second.unsqueeze(-2)).tanh()
        graph = form.conv(f"{conv}.conv4", difference, channels) * alpha + graphs[k]
        out = out + torch.einsum("bcuv,bctu->bctv", graph, value)
    y = form.norm(f"{name}.bn", out)
    return (y + form.down(f"{name}.down", x, channels)).relu()


def branches(form: PublicForm, name: str, x: Tensor, channels: int, stride: int) -> Tensor:
    outs, width = [], channels // 4
    for number in range(3):
        y = form.norm(f"{name}.{number}.1", form.conv(f"{name}.{number}.0", x, width)).relu()
        if number < 2:
            y = form.conv(f"{name}.{number}.3.conv", y, width, 5, stride, number + 1)
            outs.append(form.norm(f"{name}.{number}.3.bn", y))
        else:
            outs.append(form.norm(f"{name}.2.4", F.max_pool2d(y, (3, 1), (stride, 1), (1, 0))))
    outs.append(form.norm(f"{name}.3.1", form.conv(f"{name}.3.0", x, width, stride=stride)))
    return torch.cat(outs, dim=1).relu()


def network(form: PublicForm, x: Tensor) -> Tensor:
    x = form.input_norm(x, bodies=2)
    form.tensor("A", 3, x.size(3), x.size(3))  # the bones, which it stores and does not use
    for number, (channels, stride) in enumerate(PLAN):
        y = graph_convolution(form, f"net.{number}.gcn1", x, channels)
        y = branches(form, f"net.{number}.tcn1.branches", y, channels, stride)
        x = (y + form.residual(f"net.{number}.residual", x, channels, stride, number == 0)).relu()
    return x


def random_checkpoint() -> dict[str, Tensor]:
    form = PublicForm()
    network(form, torch.randn(1, 3, 9, 17))
    return form.state


def test_random_state(tmp_path: Path) -> None:
    state = random_checkpoint()
    x = torch.randn(2, 3, 13, 17)
    expected = network(PublicForm(state), x).permute(0, 2, 3, 1)
    torch.save(
        {"state_dict": {f"backbone.{key}": value for key, value in state.items()}},
        tmp_path / "j.pth",
    )
    encoder = ctrgcn_from_public(tmp_path / "j.pth", "coco17")
    assert not encoder.training
    assert expected.std() > 1e-3
    torch.testing.assert_close(encoder(x.permute(0, 2, 3, 1)), expected, rtol=1e-4, atol=1e-4)
    encoder.save_pretrained(tmp_path / "encoder")
    again = PYSKLCTRGCN.from_pretrained(tmp_path / "encoder")
    torch.testing.assert_close(again(x.permute(0, 2, 3, 1)), expected, rtol=1e-4, atol=1e-4)


def test_dropout_comes_after_the_rectifier() -> None:
    options = {"plan": [(8, 1)], "dropout": 1.0}
    x = torch.randn(2, 5, 17, 3)
    assert not PYSKLCTRGCN("coco17", **options)(x).any()  # as in CTRGCN, nothing else is left
    assert not CTRGCN("coco17", **options)(x).any()


def test_refuses_what_does_not_fit() -> None:
    state = random_checkpoint()
    with pytest.raises(ValueError, match="the checkpoint has 17 joints, but skeleton 'ntu25'"):
        ctrgcn_from_public(state)
    fifth = {"net.0.tcn1.branches.4.0.weight": torch.zeros(2, 8, 1, 1)}
    with pytest.raises(
        ValueError, match=r"net\.0\.tcn1\.branches\.4\.0\.weight: nothing in CTRGCN"
    ):
        ctrgcn_from_public({**state, **fifth}, "coco17")
    for lost, message in (
        ("net.1.gcn1.convs.2.conv4.weight", r"not whole: net\.1\..*16 rows for 3 subsets"),
        ("net.1.gcn1.convs.2.conv3.weight", r"(?s)does not fit.*net\.1\.gcn1\.convs\.0\.conv3"),
        ("net.2.tcn1.branches.0.0.weight", r"(?s)does not fit.*net\.2\.tcn1\.branches\.1\.0"),
        ("net.3.gcn1.alpha", r"(?s)does not fit.*blocks\.3\.spatial\.alpha"),
    ):
        some = {key: value for key, value in state.items() if key != lost}
        with pytest.raises(ValueError, match=message):
            ctrgcn_from_public(some, "coco17")
