from __future__ import annotations

import pytest
import torch
import torch_geometric.nn

from pyg_fsar.nn import PairNorm


@pytest.mark.parametrize("mode", ["PN", "PN-SI", "PN-SCS"])
@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_every_frame_equals_the_formula(mode: str, scale: float) -> None:
    x = torch.randn(2, 3, 7, 5)
    out = PairNorm(scale, mode)(x)
    for frame, normalised in zip(x.flatten(0, 1), out.flatten(0, 1), strict=True):
        mean = frame.mean(0)
        centred = frame - mean
        expected = {
            "PN": scale * centred / (1e-5 + centred.square().sum(1).mean()).sqrt(),
            "PN-SI": scale * centred / (1e-5 + centred.square().sum(1, keepdim=True)).sqrt(),
            "PN-SCS": scale * frame / frame.norm(dim=1, keepdim=True) - mean,
        }[mode]
        torch.testing.assert_close(normalised, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("mode", "individually"), [("PN", False), ("PN-SI", True)])
def test_equals_pyg_on_ordinary_graphs(mode: str, individually: bool) -> None:
    x, batch = torch.randn(10, 4), torch.tensor([0] * 3 + [1] * 6 + [2])
    theirs = torch_geometric.nn.PairNorm(2.0, scale_individually=individually)
    torch.testing.assert_close(PairNorm(2.0, mode)(x, batch), theirs(x, batch))
    torch.testing.assert_close(PairNorm(2.0, mode)(x), theirs(x))


@pytest.mark.parametrize("mode", ["PN", "PN-SI", "PN-SCS"])
def test_batch_of_graphs_equals_frames(mode: str) -> None:
    x = torch.randn(4, 7, 5)
    out = PairNorm(mode=mode)(x.flatten(0, 1), torch.arange(4).repeat_interleave(7), batch_size=4)
    torch.testing.assert_close(out.view_as(x), PairNorm(mode=mode)(x))


@pytest.mark.parametrize("mode", ["PN", "PN-SI", "PN-SCS"])
def test_equal_and_zero_joints_give_finite_values_and_gradients(mode: str) -> None:
    x = torch.stack([torch.zeros(7, 5), torch.ones(7, 5)]).requires_grad_()
    out = PairNorm(mode=mode)(x)
    out.square().sum().backward()
    assert out.isfinite().all() and x.grad is not None and x.grad.isfinite().all()


def test_keeps_the_total_distance_between_joints() -> None:
    out = PairNorm(3.0)(torch.randn(5, 7, 4))
    torch.testing.assert_close(
        torch.cdist(out, out).square().mean((1, 2)), torch.full((5,), 18.0), rtol=1e-4, atol=0
    )


def test_refuses_unknown_modes() -> None:
    with pytest.raises(ValueError, match="PN, PN-SI, PN-SCS"):
        PairNorm(mode="SCS")
    assert repr(PairNorm(2.0, "PN-SI")) == "PairNorm(scale=2.0, mode='PN-SI')"


@pytest.mark.parametrize("options", [{"scale": float("nan")}, {"eps": float("inf")}])
def test_refuses_numbers_that_are_not_finite(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="scale and eps must be finite"):
        PairNorm(**options)
