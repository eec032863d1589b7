"""Checkpoints of AAGCN, beside a plain channels-first form of PYSKL's network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from references import PublicForm
from torch import Tensor

from pyg_fsar.nn import AAGCN, aagcn_from_public

PLAN = ((8, 1), (8, 1), (12, 2), (12, 1))


def attention(form: PublicForm, name: str, y: Tensor) -> Tensor:
    channels, v = y.size(1), y.size(3)
    kernel = v if v % 2 else v - 1
    for part, axis, size in (("sa", 2, kernel), ("ta", 3, 9)):
        weight = form.tensor(f"{name}.conv_{part}.weight", 1, channels, size)
        bias = form.tensor(f"{name}.conv_{part}.bias", 1)
        gate = F.conv1d(y.mean(dim=axis), weight, bias, padding=size // 2).sigmoid()
        y = y * gate.unsqueeze(axis) + y
    squeezed = F.linear(
        y.mean(dim=(2, 3)),
        form.tensor(f"{name}.fc1c.weight", channels // 2, channels),
        form.tensor(f"{name}.fc1c.bias", channels // 2),
    ).relu()
    gate = F.linear(
        squeezed,
        form.tensor(f"{name}.fc2c.weight", channels, channels // 2),
        form.tensor(f"{name}.fc2c.bias", channels),
    ).sigmoid()
    return y * gate[..., None, None] + y


def graph_convolution(form: PublicForm, name: str, x: Tensor, channels: int) -> Tensor:
    b, c, t, v = x.shape
    graphs, alpha = form.tensor(f"{name}.A", 3, v, v), form.tensor(f"{name}.alpha", 1)
    out: Tensor | int = 0
    for k in range(3):
        first = form.conv(f"{name}.conv_a.{k}", x, channels // 4).permute(0, 3, 1, 2).flatten(2)
        second = form.conv(f"{name}.conv_b.{k}", x, channels // 4).flatten(1, 2)
        graph = graphs[k] + alpha * (first @ second / first.size(-1)).tanh()
        moved = (x.reshape(b, c * t, v) @ graph).view(b, c, t, v)
        out = out + form.conv(f"{name}.conv_d.{k}", moved, channels)
    y = form.norm(f"{name}.bn", out)
    return attention(form, name, (y + form.down(f"{name}.down", x, channels)).relu())


def network(form: PublicForm, x: Tensor) -> Tensor:
    x = form.input_norm(x, bodies=2)
    form.tensor("A", 3, x.size(3), x.size(3))  # the bones, which it stores and does not use
    for number, (channels, stride) in enumerate(PLAN):
        y = graph_convolution(form, f"gcn.{number}.gcn", x, channels)
        y = form.conv(f"gcn.{number}.tcn.conv", y, channels, 9, stride)
        y = form.norm(f"gcn.{number}.tcn.bn", y)
        x = (y + form.residual(f"gcn.{number}.residual", x, channels, stride, number == 0)).relu()
    return x


def random_checkpoint(joints: int) -> dict[str, Tensor]:
    form = PublicForm()
    network(form, torch.randn(1, 3, 9, joints))
    return form.state


@pytest.mark.parametrize(("name", "joints"), [("coco17", 17), ("openpose18", 18)])
def test_random_state(name: str, joints: int, tmp_path: Path) -> None:
    state = random_checkpoint(joints)
    x = torch.randn(2, 3, 13, joints)
    expected = network(PublicForm(state), x).permute(0, 2, 3, 1)
    encoder = aagcn_from_public({f"backbone.{k}": v for k, v in state.items()}, name)
    assert not encoder.training
    assert expected.std() > 1e-3
    torch.testing.assert_close(encoder(x.permute(0, 2, 3, 1)), expected, rtol=1e-4, atol=1e-4)
    encoder.save_pretrained(tmp_path)
    again = AAGCN.from_pretrained(tmp_path)
    torch.testing.assert_close(again(x.permute(0, 2, 3, 1)), expected, rtol=1e-4, atol=1e-4)


def test_refuses_what_does_not_fit() -> None:
    state = random_checkpoint(17)
    with pytest.raises(ValueError, match="the checkpoint has 17 joints, but skeleton 'ntu25'"):
        aagcn_from_public(state)
    plain = {key: value for key, value in state.items() if "conv_a" not in key}  # adaptive=False
    with pytest.raises(ValueError, match=r"(?s)does not fit AAGCN.*gcn\.0\.gcn\.conv_b\.0"):
        aagcn_from_public(plain, "coco17")
    for lost, message in (
        ("gcn.1.gcn.conv_d.2.weight", r"not whole: gcn\.1\..*16 rows for 3 subsets"),
        ("gcn.1.gcn.bn.weight", "lacks the spatial_norm weights of block 1"),
        ("gcn.1.gcn.bn.running_mean", r"(?s)not whole: no .*running_mean"),
        ("gcn.2.gcn.conv_ta.bias", r"(?s)does not fit.*attention\.frames\.bias"),
    ):
        some = {key: value for key, value in state.items() if key != lost}
        with pytest.raises(ValueError, match=message):
            aagcn_from_public(some, "coco17")
    for broken, message in (
        (
            {"gcn.0.gcn.conv_d.0.weight": torch.zeros(())},
            r"conv_d\.0\.weight has no rows for 3 sub",
        ),
        (
            {"gcn.0.tcn.conv.weight": torch.zeros(0, 8, 9, 1)},
            "lacks the temporal.conv weights of block 0",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            aagcn_from_public({**state, **broken}, "coco17")
