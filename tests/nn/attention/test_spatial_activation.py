import itertools
import math

import pytest
import torch
from torch import nn

from pyg_fsar.nn import JointActivation, SpatialActivation

C = 6


def naive(direction, x, other, mask=None):
    """One direction as released: all maps anew for every pair of frames."""
    frames = [
        naive_frame(direction, x[a, t], other[b, t], None if mask is None else mask(a, b, t))
        for a, b, t in itertools.product(range(len(x)), range(len(other)), range(x.size(1)))
    ]
    return torch.stack(frames).view(len(x), len(other), *x.shape[1:])


def naive_frame(direction, x, other, masks):
    source = x if direction.value_from == "self" else other
    query, key, value = direction.query(x), direction.key(other), direction.value(source)
    size = x.size(-1) // direction.heads
    mixed = []
    for head in range(direction.heads):
        part = slice(head * size, (head + 1) * size)
        weights = (query[:, part] @ key[:, part].t() / math.sqrt(size)).softmax(dim=-1)
        if masks is not None:
            weights = weights * masks[0][head]
        mixed.append(weights @ value[:, part])
    added = direction.out(torch.cat(mixed, dim=-1))
    if masks is not None:
        added = added * masks[1]
    return nn.functional.layer_norm(
        added + x, x.shape[-1:], direction.norm.weight, direction.norm.bias, eps=1e-12
    )


def clips(count, frames=3, joints=5):
    return torch.randn(count, frames, joints, C, dtype=torch.float64, requires_grad=True)


def made(**options):
    """With weights of the norms and biases that matter."""
    activation = SpatialActivation(C, **options).double()
    for parameter in activation.parameters():
        nn.init.normal_(parameter, 0.1, 0.5)
    return activation


every_form = pytest.mark.parametrize(
    "options",
    [{}, {"heads": 3}, {"value_from": "other"}, {"heads": 2, "value_from": "other"}],
    ids=str,
)


@every_form
def test_equals_the_released_form_pair_by_pair(options):
    activation, x, y = made(**options).eval(), clips(4), clips(2)
    activated_x, activated_y = activation(x, y)
    assert activated_x.shape == activated_y.shape == (4, 2, 3, 5, C)
    expected_x = naive(activation.x_from_y, x, y)
    expected_y = naive(activation.y_from_x, y, x).transpose(0, 1)
    torch.testing.assert_close(activated_x, expected_x)
    torch.testing.assert_close(activated_y, expected_y)

    weight = torch.randn_like(expected_x)
    inputs = [x, y, *activation.parameters()]
    grads, expected = (
        torch.autograd.grad(((first + second) * weight).sum(), inputs)
        for first, second in ((activated_x, activated_y.sin()), (expected_x, expected_y.sin()))
    )
    for grad, other in zip(grads, expected, strict=True):
        torch.testing.assert_close(grad, other)


class Recording(nn.Dropout):
    """Dropout that keeps its masks."""

    def forward(self, x):
        mask = torch.bernoulli(torch.full_like(x, 1 - self.p)) / (1 - self.p)
        self.masks.append(mask)
        return x * mask


@every_form
def test_dropout_falls_on_the_weights_and_on_what_is_added(options):
    # The bias of the values stands behind weights that no longer sum to one.
    direction, x, y = made(**options).x_from_y, clips(3), clips(2)
    direction.dropout = Recording(0.4)
    direction.dropout.masks = []
    activated = direction(x, y)
    weights, added = direction.dropout.masks
    assert weights.shape == (3, 2, 3, direction.heads, 5, 5) and added.shape == (3, 2, 3, 5, C)
    expected = naive(direction, x, y, lambda a, b, t: (weights[a, b, t], added[a, b, t]))
    torch.testing.assert_close(activated, expected)


def test_dropout_in_training_only():
    activation, x, y = made(dropout=0.5), clips(2), clips(2)
    assert not torch.equal(activation(x, y)[0], activation(x, y)[0])
    activation.eval()
    assert torch.equal(activation(x, y)[0], activation(x, y)[0])
    without = made(dropout=0.0)
    assert torch.equal(without(x, y)[0], without(x, y)[0])


@every_form
def test_joints_in_another_order(options):
    activation, x, y = made(**options).eval(), clips(3), clips(2)
    order = torch.tensor([3, 0, 4, 1, 2])
    permuted = activation(x[:, :, order], y[:, :, order])
    for result, other in zip(permuted, activation(x, y), strict=True):
        torch.testing.assert_close(result, other[..., order, :])
    # The order of the other clip's joints decides what is mixed only if they are the values.
    first, _ = activation(x, y[:, :, order])
    same = torch.allclose(first, activation(x, y)[0])
    assert same == (options.get("value_from") == "other")


def test_frames_do_not_see_other_frames_or_clips():
    activation, x, y = made().eval(), clips(3), clips(2)
    first, second = activation(x, y)
    alone = activation(x[1:2, 2:], y[:1, 2:])
    torch.testing.assert_close(alone[0], first[1:2, :1, 2:])
    torch.testing.assert_close(alone[1], second[1:2, :1, 2:])


def test_directions_share_nothing_and_their_weights_have_names():
    activation = SpatialActivation(C, heads=2)
    assert {name for name, _ in activation.named_parameters()} == {
        f"{direction}.{part}.{kind}"
        for direction in ("x_from_y", "y_from_x")
        for part in ("query", "key", "value", "out", "norm")
        for kind in ("weight", "bias")
    }
    assert activation.x_from_y.norm.eps == 1e-12
    copy = SpatialActivation(C, heads=2)
    copy.load_state_dict(activation.state_dict())
    x, y = clips(2).float(), clips(2).float()
    activation.eval(), copy.eval()
    assert torch.equal(activation(x, y)[1], copy(x, y)[1])


def test_one_direction_alone_is_a_module():
    direction, x, y = JointActivation(C).double().eval(), clips(2), clips(3)
    torch.testing.assert_close(direction(x, y), naive(direction, x, y))


def test_gradients_by_finite_differences():
    activation = made(heads=2).eval()
    assert torch.autograd.gradcheck(activation, (clips(2, 2, 3), clips(1, 2, 3)))


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bfloat16_autocast(heads, dtype):
    activation = SpatialActivation(C, heads).eval()
    x, y = clips(2).to(dtype), clips(2).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = activation(x, y)
    for result, expected in zip(rounded, activation(x.float(), y.float()), strict=True):
        torch.testing.assert_close(result.float(), expected, atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"heads": 4}, "heads must divide the 6 channels, got 4"),
        ({"heads": 0}, "heads must divide"),
        ({"dropout": 1.0}, "dropout must be at least 0 and less than 1"),
        ({"dropout": -0.1}, "dropout must be"),
        ({"value_from": "both"}, "value_from must be 'self' or 'other', got 'both'"),
    ],
)
def test_bad_options(options, match):
    with pytest.raises(ValueError, match=match):
        SpatialActivation(C, **options)


@pytest.mark.parametrize(
    ("x", "y", "match"),
    [
        ((2, 3, 5, C), (2, 4, 5, C), "3 and 4 frames; resample them to one length"),
        ((2, 3, 5, C), (2, 3, 4, C), "same joints"),
        ((3, 5, C), (2, 3, 5, C), "takes clips"),
        ((2, 3, 5, 8), (2, 3, 5, 8), r"channels=6, got clips .*out_channels"),
        ((2, 3, 5, C), (2, 3, 5, 8), "channels=6"),
    ],
)
def test_clips_that_do_not_fit(x, y, match):
    with pytest.raises(ValueError, match=match):
        SpatialActivation(C)(torch.zeros(x), torch.zeros(y))
