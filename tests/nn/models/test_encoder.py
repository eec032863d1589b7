from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pyg_fsar import Skeleton
from pyg_fsar.nn import NORMS, DropEdge, PairNorm, SkeletonEncoder
from pyg_fsar.nn.models.encoder import block_plan, make_norm
from pyg_fsar.testing import assert_encoder


class Halves(SkeletonEncoder):
    """Keeps every second frame of mapped joints."""

    def __init__(self, skeleton: str = "coco17", **options: object) -> None:
        super().__init__(skeleton, 3, 5, stride=2, **options)
        self.linear = nn.Linear(3, 5)

    def encode(self, x: Tensor) -> Tensor:
        return self.linear(x[:, ::2])


def test_a_subclass_is_an_encoder() -> None:
    model = Halves(drop_edge=0.2)
    assert_encoder(model, "coco17")
    assert (model.in_channels, model.out_channels, model.stride) == (3, 5, 2)
    assert model.skeleton is Skeleton.get("coco17")
    assert isinstance(model.drop_edge, DropEdge) and model.drop_edge.p == 0.2
    assert repr(model) == "Halves('coco17', in_channels=3, out_channels=5)"


@pytest.mark.parametrize(("input_norm", "axes"), [("joint", (0, 1)), ("channel", (0, 1, 2))])
def test_input_is_normalised(input_norm: str, axes: tuple[int, ...]) -> None:
    model = Halves(input_norm=input_norm)
    seen = []
    model.encode = lambda x: seen.append(x)
    model(3 + 5 * torch.randn(4, 9, 17, 3))
    torch.testing.assert_close(seen[0].mean(axes), torch.zeros_like(seen[0].mean(axes)))
    std = seen[0].std(axes, correction=0)
    torch.testing.assert_close(std, torch.ones_like(std), rtol=1e-4, atol=0)


def test_input_may_stay_as_it_is() -> None:
    model = Halves(input_norm=None)
    x = torch.randn(2, 4, 17, 3)
    assert not [name for name, _ in model.named_parameters() if "norm" in name]
    torch.testing.assert_close(model(x), model.linear(x[:, ::2]))


def test_channel_norm_keeps_the_proportions_of_joints() -> None:
    x = torch.randn(4, 9, 17, 3)
    x[:, :, 5] *= 100  # a joint that moves far more than the others

    def spread(x: Tensor) -> Tensor:
        std = x.std(dim=(0, 1))
        return std[5] / std[6]

    def normalised(input_norm: str) -> Tensor:
        norm = Halves(input_norm=input_norm).input_norm
        return norm(x.reshape(-1, norm.num_features)).view_as(x)

    torch.testing.assert_close(spread(normalised("joint")), torch.ones(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(spread(normalised("channel")), spread(x))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 4, 25, 3), r"25 joints.*'coco17' has 17.*choose the layout"),
        ((2, 4, 17, 2), r"3 channels.*in_channels=2"),
        ((2, 3, 4, 17), r"\[B, T, V, C\] with 3 channels.*if these are the axes"),
        ((4, 17, 3), r"\[B, T, V, C\]"),
        ((4, 17, 3), r"\[4, 17, 3\]; a single body \[T, V, C\] needs x\[None\]"),
        ((2, 0, 17, 3), "at least one frame"),
        ((0, 4, 17, 3), r"\[B, T, V, C\], at least one.*\[0, 4, 17, 3\]; leave out.*empty"),
        ((2, 1, 17, 3), r"Halves has 1 frames.*at least 2.*ResampleFrames.*smaller strides"),
    ],
)
def test_refuses_what_does_not_fit(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Halves()(torch.randn(shape))


@pytest.mark.parametrize("mine", [torch.float64, torch.float32])
def test_refuses_double_precision_on_one_side(mine: torch.dtype) -> None:
    other = torch.float32 if mine == torch.float64 else torch.float64
    model, x = Halves().to(mine), torch.randn(2, 4, 17, 3)
    with pytest.raises(ValueError, match=rf"input of Halves is {other}.* \.to\({mine}\)"):
        model(x.to(other))
    assert model(x.to(mine)).dtype == mine


def test_takes_other_precisions_under_autocast() -> None:
    model, x = Halves(input_norm=None), torch.randn(2, 4, 17, 3)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(model(x.bfloat16()), model(x), rtol=0.1, atol=0.01)
        with pytest.raises(ValueError, match="float64"):
            model(x.double())


def test_checks_compile_whole() -> None:
    torch.compiler.reset()
    model, x = Halves().eval(), torch.randn(2, 4, 17, 3)
    compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=True)
    torch.testing.assert_close(compiled(x), model(x))
    torch.testing.assert_close(compiled(x[:1]), model(x[:1]))


def test_refuses_unknown_options() -> None:
    with pytest.raises(ValueError, match="'joint' or 'channel'"):
        Halves(input_norm="layer")
    with pytest.raises(ValueError, match="between 0 and 1"):
        Halves(drop_edge=1.5)
    with pytest.raises(ValueError, match="unknown skeleton"):
        Halves("octopus")
    with pytest.raises(NotImplementedError):
        SkeletonEncoder("coco17", 3, 5)(torch.randn(2, 4, 17, 3))


def test_make_norm() -> None:
    assert isinstance(make_norm(None), nn.Identity)
    assert isinstance(make_norm("pairnorm"), PairNorm)
    given = nn.LayerNorm(4)
    copied = make_norm(given)
    assert isinstance(copied, nn.LayerNorm) and copied.weight is not given.weight
    with pytest.raises(ValueError, match="unknown norm 'layer'; give 'pairnorm' or a module"):
        make_norm("layer")


def test_a_further_norm_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NORMS, "batch", lambda: nn.LazyBatchNorm1d())
    assert isinstance(make_norm("batch"), nn.LazyBatchNorm1d)
    with pytest.raises(ValueError, match="give 'pairnorm' or 'batch' or a module"):
        make_norm("layer")


def test_block_plan() -> None:
    for number in (2, 4, 7, 10):
        plan = block_plan(number)
        assert len(plan) == number
        assert plan[-1][0] == (64 if number == 2 else 256)
    assert block_plan(10, [(8, 3)]) == [(8, 3)]
    with pytest.raises(ValueError, match=r"4, 7, 10.*plan="):
        block_plan(5)
    with pytest.raises(ValueError, match="plan is empty"):
        block_plan(10, [])
