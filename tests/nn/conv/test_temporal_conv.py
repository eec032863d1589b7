from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pyg_fsar.nn import TemporalConv


@pytest.mark.parametrize(("kernel_size", "stride"), [(9, 1), (9, 2), (1, 2), (3, 3)])
def test_equals_one_dimensional_convolution_of_each_joint(kernel_size: int, stride: int) -> None:
    conv = TemporalConv(3, 5, kernel_size, stride).eval()
    x = torch.randn(2, 11, 4, 3)
    series = x.permute(0, 2, 3, 1).flatten(0, 1)  # [B * V, C, T]
    expected = F.conv1d(
        series, conv.conv.weight.squeeze(-1), conv.conv.bias, stride, padding=kernel_size // 2
    )
    expected = expected.unflatten(0, (2, 4)).permute(0, 3, 1, 2)
    out = conv(x)
    assert out.shape == (2, -(-11 // stride), 4, 5)
    torch.testing.assert_close(out, expected / (1 + conv.norm.eps) ** 0.5)


def test_output_is_contiguous_so_that_views_are_free() -> None:
    assert TemporalConv(3, 5)(torch.randn(2, 11, 4, 3)).is_contiguous()


def test_reset_forgets() -> None:
    conv = TemporalConv(3, 5)
    conv(torch.randn(2, 11, 4, 3))
    conv.reset_parameters()
    assert not conv.norm.running_mean.any()


@pytest.mark.parametrize("kernel_size", [0, 4, -1])
def test_refuses_kernels_without_a_middle(kernel_size: int) -> None:
    with pytest.raises(ValueError, match="odd"):
        TemporalConv(3, 5, kernel_size)
