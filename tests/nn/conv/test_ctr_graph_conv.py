from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_fsar import Skeleton
from pyg_fsar.nn import CTRGraphConv


def awake(conv: CTRGraphConv) -> CTRGraphConv:
    """With graphs of its own for every channel: as initialised they weigh nothing."""
    for parameter in (conv.alpha, conv.learned, conv.xi_bias, *(m.bias for m in conv.children())):
        nn.init.normal_(parameter)
    return conv


def channels_first(conv: CTRGraphConv, x: Tensor, adj: Tensor) -> Tensor:
    """The convolution as published, subset by subset, on ``[B, C, T, V]``."""

    def point(layer: nn.Linear, k: int, x: Tensor) -> Tensor:
        weight, bias = layer.weight.chunk(3)[k], layer.bias.chunk(3)[k]
        return F.conv2d(x, weight[..., None, None], bias)

    out = 0
    for k in range(3):
        psi, phi = (point(layer, k, x).mean(dim=-2) for layer in (conv.psi, conv.phi))
        # Rows are targets here.
        difference = (psi.unsqueeze(-1) - phi.unsqueeze(-2)).tanh()
        own = F.conv2d(difference, conv.xi[k][..., None, None], conv.xi_bias[k])
        graph = conv.alpha * own + (adj[k] + conv.learned[k]).t()
        out = out + torch.einsum("bcuv,bctv->bctu", graph, point(conv.value, k, x))
    return out


def test_equals_the_published_form() -> None:
    adj = Skeleton.get("coco17").adjacency().double()
    conv = awake(CTRGraphConv(4, 6, num_joints=17).double())
    x = torch.randn(2, 5, 17, 4, dtype=torch.double)
    expected = channels_first(conv, x.permute(0, 3, 1, 2), adj).permute(0, 2, 3, 1)
    out = conv(x, adj)
    torch.testing.assert_close(out, expected)
    assert out.is_contiguous()


def test_gradients() -> None:
    conv = awake(CTRGraphConv(2, 3, num_joints=4, num_subsets=2, relation_channels=2)).double()
    x = torch.randn(2, 3, 4, 2, dtype=torch.double, requires_grad=True)
    adj = torch.rand(2, 4, 4, dtype=torch.double, requires_grad=True)
    torch.autograd.gradcheck(conv, (x, adj))
    conv(x, adj).square().sum().backward()
    for name, parameter in conv.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_begins_with_the_graph_given() -> None:
    adj = Skeleton.get("coco17").adjacency()
    conv = CTRGraphConv(4, 6, num_joints=17)
    x = torch.randn(2, 5, 17, 4)
    assert torch.equal(conv.topology(x, adj), adj.unsqueeze(1).expand(2, 3, 6, 17, 17))
    values = conv.value(x).chunk(3, dim=-1)
    expected = sum(a.t() @ value for a, value in zip(adj, values, strict=True))
    torch.testing.assert_close(conv(x, adj), expected)


def test_every_body_and_channel_has_a_graph_of_its_own() -> None:
    conv = awake(CTRGraphConv(4, 6, num_joints=17))
    graphs = conv.topology(torch.randn(2, 5, 17, 4), Skeleton.get("coco17").adjacency())
    assert graphs.shape == (2, 3, 6, 17, 17)
    assert not torch.allclose(graphs[0], graphs[1])
    assert not torch.allclose(graphs[:, :, 0], graphs[:, :, 1])


def test_graphs_depend_on_the_mean_over_frames_alone() -> None:
    conv = awake(CTRGraphConv(4, 6, num_joints=17))
    x, adj = torch.randn(2, 5, 17, 4), Skeleton.get("coco17").adjacency()
    torch.testing.assert_close(conv.topology(x[:, [4, 0, 3, 1, 2]], adj), conv.topology(x, adj))


@pytest.mark.parametrize(("channels", "expected"), [(2, 8), (3, 8), (64, 8), (256, 32)])
def test_size_of_relations(channels: int, expected: int) -> None:
    conv = CTRGraphConv(channels, 6, num_joints=4)
    assert conv.xi.shape == (3, 6, expected)
    assert conv.psi.out_features == conv.phi.out_features == 3 * expected


def test_refuses_what_does_not_fit() -> None:
    conv = CTRGraphConv(4, 6, num_joints=17)
    adj = torch.rand(3, 17, 17)
    for shape in ((2, 5, 17, 3), (2, 5, 18, 4), (5, 17, 4)):
        with pytest.raises(ValueError, match=r"bodies \[B, T, 17, 4\]"):
            conv(torch.randn(shape), adj)
    for wrong in (adj[:2], adj[:, 1:], adj.long()):
        with pytest.raises(ValueError, match=r"dense adjacency \[3, 17, 17\]"):
            conv(torch.randn(2, 5, 17, 4), wrong)
    assert repr(conv) == "CTRGraphConv(4, 6, num_subsets=3)"
