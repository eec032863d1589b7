from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pyg_fsar import Skeleton
from pyg_fsar.nn import AdaptiveGraphConv, SpatialGraphConv

SKELETON = Skeleton.get("coco17")
ADJ = SKELETON.adjacency()


def make_conv(in_channels: int = 3, out_channels: int = 8) -> AdaptiveGraphConv:
    conv = AdaptiveGraphConv(in_channels, out_channels, num_joints=17)
    nn.init.normal_(conv.learned)
    nn.init.normal_(conv.embed.bias)
    return conv


def channels_first(conv: AdaptiveGraphConv, x: Tensor, adj: Tensor) -> Tensor:
    """The published formulas, subset by subset, on ``[B, C, T, V]``."""
    n, c, t, v = x.shape
    embed = conv.embed_channels
    weights = conv.embed.weight.view(2, conv.num_subsets, embed, c)
    biases = conv.embed.bias.view(2, conv.num_subsets, embed)
    out = 0
    for k in range(conv.num_subsets):
        theta, phi = (
            torch.einsum("ec,nctv->netv", weight[k], x) + bias[k].view(-1, 1, 1)
            for weight, bias in zip(weights, biases, strict=True)
        )
        theta = theta.permute(0, 3, 1, 2).reshape(n, v, embed * t)
        phi = phi.reshape(n, embed * t, v)
        graph = adj[k] + conv.learned[k] + ((theta @ phi) / (embed * t)).softmax(dim=1)
        moved = (x.reshape(n, c * t, v) @ graph).view(n, c, t, v)
        out = out + torch.einsum("co,nctv->notv", conv.conv.weight[k], moved)
    return out


def test_equals_the_published_form() -> None:
    conv = make_conv().double()
    x = torch.randn(4, 5, 17, 3, dtype=torch.double)
    expected = channels_first(conv, x.permute(0, 3, 1, 2), ADJ.double()).permute(0, 2, 3, 1)
    torch.testing.assert_close(conv(x, ADJ.double()), expected)


def test_starts_with_next_to_no_learned_graph() -> None:
    conv = AdaptiveGraphConv(3, 8, num_joints=17)
    assert torch.equal(conv.learned, torch.full((3, 17, 17), 1e-6))
    assert conv.embed_channels == 2
    assert conv.embed.out_features == 2 * 3 * 2
    for parameter in conv.parameters():
        nn.init.ones_(parameter)
    conv.reset_parameters()
    assert not any((parameter == 1).any() for parameter in conv.parameters())
    assert repr(conv) == "AdaptiveGraphConv(3, 8, num_subsets=3)"


def test_without_the_additions_it_is_a_spatial_convolution() -> None:
    conv, plain = make_conv(), SpatialGraphConv(3, 8, bias=False)
    plain.load_state_dict(conv.conv.state_dict())
    x = torch.randn(2, 5, 17, 3)
    adj = ADJ + conv.learned + conv.similarity(x)
    torch.testing.assert_close(conv(x, ADJ), plain(x, adj))


def test_similarity_is_a_graph_of_each_body_over_all_frames() -> None:
    conv = make_conv()
    x = torch.randn(2, 5, 17, 3)
    graph = conv.similarity(x)
    assert graph.shape == (2, 3, 17, 17)
    torch.testing.assert_close(graph.sum(dim=-2), torch.ones(2, 3, 17))
    torch.testing.assert_close(conv.similarity(x[:, torch.randperm(5)]), graph)
    torch.testing.assert_close(conv.similarity(x.repeat(1, 2, 1, 1)), graph)
    joints = torch.randperm(17)
    torch.testing.assert_close(conv.similarity(x[:, :, joints]), graph[..., joints, :][..., joints])


def test_joints_may_be_renumbered() -> None:
    conv, renumbered = make_conv(), make_conv()
    joints = torch.randperm(17)
    renumbered.load_state_dict(conv.state_dict())
    renumbered.learned.data = conv.learned.data[:, joints][..., joints]
    x = torch.randn(2, 5, 17, 3)
    adj = ADJ[:, joints][..., joints]
    torch.testing.assert_close(renumbered(x[:, :, joints], adj), conv(x, ADJ)[:, :, joints])


def test_gradients() -> None:
    conv = AdaptiveGraphConv(2, 4, num_joints=3).double()
    x = torch.randn(2, 3, 3, 2, dtype=torch.double, requires_grad=True)
    adj = torch.rand(3, 3, 3, dtype=torch.double, requires_grad=True)
    torch.autograd.gradcheck(conv, (x, adj))
    conv(x, adj).square().sum().backward()
    for name, parameter in conv.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_refuses_what_does_not_fit() -> None:
    conv = make_conv()
    with pytest.raises(ValueError, match=r"bodies \[B, T, 17, 3\]"):
        conv(torch.randn(2, 5, 17, 4), ADJ)
    with pytest.raises(ValueError, match=r"bodies \[B, T, 17, 3\]"):
        conv(torch.randn(5, 17, 3), ADJ)
    with pytest.raises(ValueError, match=r"dense adjacency \[3, 17, 17\]"):
        conv(torch.randn(2, 5, 17, 3), SKELETON.edge_index())
    with pytest.raises(ValueError, match=r"dense adjacency \[3, 17, 17\]"):
        conv(torch.randn(2, 5, 17, 3), ADJ[:2])
