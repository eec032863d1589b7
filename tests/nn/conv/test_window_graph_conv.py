from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pyg_fsar.nn import SpatialGraphConv, WindowGraphConv

V = 5


def frame_by_frame(conv: WindowGraphConv, x: Tensor, adj: Tensor) -> Tensor:
    """Every window of a clip as a graph of its own."""
    side, nodes = conv.window // 2, conv.window * V
    plain = SpatialGraphConv(conv.in_channels, conv.out_channels, conv.num_subsets, bias=False)
    plain.load_state_dict(conv.state_dict())
    outs = []
    for middle in range(0, x.size(1), conv.stride):
        window = x.new_zeros(len(x), conv.window, V, conv.in_channels)
        for slot in range(conv.window):
            frame = middle + slot - side
            if 0 <= frame < x.size(1):
                window[:, slot] = x[:, frame]
        outs.append(plain.to(x)(window.view(len(x), nodes, -1), adj).view(len(x), -1, V, 4))
    return torch.stack(outs, dim=1)


# Few channels are mapped after the sum over joints, and many before.
@pytest.mark.parametrize("in_channels", [1, 6])
@pytest.mark.parametrize("window", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_equals_a_graph_convolution_of_every_window(
    in_channels: int, window: int, stride: int
) -> None:
    conv = WindowGraphConv(in_channels, 4, window, num_subsets=2, stride=stride).double()
    x = torch.randn(3, 7, V, in_channels, dtype=torch.double)
    adj = torch.randn(2, window * V, window * V, dtype=torch.double)
    out = conv(x, adj)
    assert out.shape == (3, -(-7 // stride), window, V, 4)
    torch.testing.assert_close(out, frame_by_frame(conv, x, adj))


@pytest.mark.parametrize("in_channels", [1, 3])
def test_gradients(in_channels: int) -> None:
    conv = WindowGraphConv(in_channels, 3, window=3, num_subsets=2).double()
    x = torch.randn(2, 3, 2, in_channels, dtype=torch.double, requires_grad=True)
    adj = torch.rand(2, 6, 6, dtype=torch.double, requires_grad=True)
    torch.autograd.gradcheck(conv, (x, adj))


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="odd and positive, got 4"):
        WindowGraphConv(3, 8, window=4)
    conv = WindowGraphConv(3, 8, window=3, num_subsets=2)
    assert repr(conv) == "WindowGraphConv(3, 8, window=3, num_subsets=2, stride=1)"
    adj = torch.randn(2, 15, 15)
    with pytest.raises(ValueError, match=r"\[B, T, V, 3\]"):
        conv(torch.randn(2, 7, V, 4), adj)
    with pytest.raises(ValueError, match=r"\[B, T, V, 3\]"):
        conv(torch.randn(7, V, 3), adj)
    with pytest.raises(ValueError, match=r"15 joints of 3 frames, \[2, 15, 15\]"):
        conv(torch.randn(2, 7, V, 3), torch.randn(2, V, V))
    with pytest.raises(ValueError, match="dense adjacency"):
        conv(torch.randn(2, 7, V, 3), torch.zeros(2, 9, dtype=torch.long))
