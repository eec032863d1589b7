from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_fsar.nn import MultiScaleTemporalConv


def channels_first(conv: MultiScaleTemporalConv, x: Tensor) -> Tensor:
    """Branch by branch on ``[B, C, T, V]``, in evaluation."""

    def norm(x: Tensor, norm: nn.BatchNorm1d, channels: slice) -> Tensor:
        values = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        return F.batch_norm(x, *(value[channels] for value in values))

    outs, start = [], 0
    for number, width in enumerate(conv.widths):
        channels = slice(start, start := start + width)
        reduce = conv.reduce.conv
        y = F.conv2d(x, reduce.weight[channels], reduce.bias[channels])
        y = norm(y, conv.reduce.norm, channels).relu()
        if number < len(conv.branches):
            y = conv.branches[number](y)
        else:
            y = F.max_pool2d(y, (3, 1), (conv.stride, 1), (1, 0))
        outs.append(norm(y, conv.norm, channels))
    weight = conv.point.weight[..., None, None]
    y = F.conv2d(x, weight, conv.point.bias, stride=(conv.stride, 1))
    outs.append(norm(y, conv.norm, slice(start, None)))
    return torch.cat(outs, dim=1)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("frames", [1, 2, 7, 12])
def test_equals_its_branches(stride: int, frames: int) -> None:
    conv = MultiScaleTemporalConv(4, 19, stride=stride).double().eval()
    for module in conv.modules():
        if isinstance(module, nn.BatchNorm1d):
            for tensor in (module.weight, module.bias, module.running_mean):
                nn.init.normal_(tensor)
            nn.init.uniform_(module.running_var, 0.5, 2)
    x = torch.randn(2, frames, 5, 4, dtype=torch.double)
    out = conv(x)
    assert out.shape == (2, -(-frames // stride), 5, 19)
    torch.testing.assert_close(out, channels_first(conv, x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


def test_channels_are_divided_among_branches() -> None:
    conv = MultiScaleTemporalConv(4, 19, kernel_size=5, dilations=(1, 2))
    assert conv.widths == [7, 4, 4]
    assert [tuple(branch.weight.shape) for branch in conv.branches] == [(7, 7, 5, 1), (4, 4, 5, 1)]
    assert conv.point.out_features == 4


def test_sees_as_far_as_its_widest_dilation() -> None:
    conv = MultiScaleTemporalConv(4, 48).eval()
    x = torch.randn(1, 21, 3, 4, requires_grad=True)
    (grad,) = torch.autograd.grad(conv(x)[:, 10, 1].sum(), x)
    reached = grad.abs().sum(dim=(0, 3)) > 0
    assert reached[6:15, 1].all()
    assert not reached[:6].any() and not reached[15:].any()
    assert not reached[:, [0, 2]].any()


def test_every_parameter_gets_a_gradient() -> None:
    conv = MultiScaleTemporalConv(4, 12, stride=2)
    x = torch.randn(2, 9, 3, 4, requires_grad=True)
    conv(x).square().mean().backward()
    for name, parameter in [("x", x), *conv.named_parameters()]:
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="odd and positive, got 4"):
        MultiScaleTemporalConv(4, 12, kernel_size=4)
    with pytest.raises(ValueError, match=r"dilations must be positive, got \(1, 0\)"):
        MultiScaleTemporalConv(4, 12, dilations=(1, 0))
    with pytest.raises(ValueError, match="at least 6, one for each branch; got 5"):
        MultiScaleTemporalConv(4, 5)
