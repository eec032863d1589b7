import itertools

import numpy as np
import pytest
import torch
from torch.library import opcheck

from pyg_fsar.kernels import Activated, activated_products, has_kernel
from pyg_fsar.kernels.fused import activation

Q, S, T, V, C = 3, 2, 4, 5, 16
EPS = 1e-12

pytestmark = pytest.mark.skipif(
    not has_kernel("activation", C, torch.float64, torch.device("cpu")), reason="no C++ compiler"
)
both_sources = pytest.mark.parametrize("own_values", [True, False])


def sides(own_values, heads=1, dtype=torch.float64):
    """Random input of both directions."""

    def direction(own, others, source):
        return Activated(
            torch.randn(own, T, V, C),
            torch.randn(own, others, T, V, heads * V).softmax(dim=-1),
            torch.randn(source, T, heads * V, C),
            *torch.randn(3, C),
        )

    x = direction(Q, S, Q if own_values else S)
    y = direction(S, Q, S if own_values else Q)
    return [Activated(*(part.to(dtype).requires_grad_() for part in side)) for side in (x, y)]


def expected_products(x, y, own_values, masks=None):
    """The same with every activated clip at hand."""

    def activate(number, side):
        clip = "a" if own_values else "b"
        weights = side.weights if masks is None else side.weights * masks[number][0]
        added = torch.einsum(f"abtvk,{clip}tkc->abtvc", weights, side.values) + side.bias
        if masks is not None:
            added = added * masks[number][1]
        return torch.nn.functional.layer_norm(
            side.joints[:, None] + added, (C,), side.norm_weight, side.norm_bias, EPS
        )

    first, second = activate(0, x).flatten(3), activate(1, y).transpose(0, 1).flatten(3)
    return first @ second.mT, first.norm(dim=-1), second.norm(dim=-1)


def gradients(products, inputs):
    weights = torch.Generator().manual_seed(0)
    loss = sum(
        (part.cos() * torch.rand(part.shape, generator=weights).to(part)).sum() for part in products
    )
    return torch.autograd.grad(loss, inputs)


def assert_same(products, expected, inputs, **room):
    for part, other in zip(products, expected, strict=True):
        torch.testing.assert_close(part, other, **room)
    for part, other in zip(gradients(products, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(part, other, **room)


@both_sources
@pytest.mark.parametrize("heads", [1, 3])
def test_equals_products_of_activated_clips(own_values, heads):
    x, y = sides(own_values, heads)
    expected = expected_products(x, y, own_values)
    assert_same(activated_products(x, y, own_values, 0.0, EPS), expected, [*x, *y])


def test_float32():
    x, y = sides(True, dtype=torch.float32)
    room = {"rtol": 1e-3, "atol": 1e-3}
    expected = expected_products(x, y, True)
    assert_same(activated_products(x, y, True, 0.0, EPS), expected, [*x, *y], **room)


def splitmix64(x):
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def mask(seed, row, count, dropout):
    """Dropout of a row of numbers as the source defines it."""
    with np.errstate(over="ignore"):
        key = splitmix64(np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15) * np.uint64(row + 1))
        x = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B9) ^ key.astype(np.uint32)
        x = (x ^ (x >> np.uint32(16))) * np.uint32(0x21F0AAAD)
        x = (x ^ (x >> np.uint32(15))) * np.uint32(0x735A2D97)
        x ^= x >> np.uint32(15)
    return torch.from_numpy((x >= np.uint32(dropout * 2**32)) / (1 - dropout))


@both_sources
@pytest.mark.parametrize("heads", [1, 3])
def test_dropout_falls_on_weights_and_on_what_they_add(own_values, heads):
    x, y = sides(own_values, heads)
    torch.manual_seed(3)
    products = activated_products(x, y, own_values, 0.3, EPS)
    torch.manual_seed(3)
    seed = torch.randint(2**62, ()).item()
    masks = []
    for which, (own, others) in enumerate([(Q, S), (S, Q)]):
        of_weights = torch.empty(own, others, T, V, heads * V, dtype=torch.float64)
        of_joints = torch.empty(own, others, T, V, C, dtype=torch.float64)
        for a, b, t in itertools.product(range(own), range(others), range(T)):
            q, s = (b, a) if which else (a, b)
            frame = ((which * Q + q) * S + s) * T + t
            drawn = mask(~np.uint64(seed), frame, V * V * heads, 0.3)
            of_weights[a, b, t] = drawn.view(V, -1)
            for v in range(V):
                of_joints[a, b, t, v] = mask(seed, frame * V + v, C, 0.3)
        masks.append((of_weights, of_joints))
    assert_same(products, expected_products(x, y, own_values, masks), [*x, *y])


def test_dropout_has_the_right_rate_and_no_pattern():
    rows = torch.stack([mask(1234567, row, 256, 0.2) > 0 for row in range(2000)]).double()
    assert rows.mean().item() == pytest.approx(0.8, abs=0.003)
    assert (rows.mean(0) - 0.8).abs().max() < 0.045 and (rows.mean(1) - 0.8).abs().max() < 0.12
    for other in (rows.roll(1, 0), rows.roll(1, 1), rows.flip(1)):
        correlation = ((rows - 0.8) * (other - 0.8)).mean() / 0.16
        assert abs(correlation) < 0.01


def test_gradients_by_finite_differences():
    x, y = sides(True)

    def products(*parts):
        torch.manual_seed(0)
        return activated_products(Activated(*parts[:6]), Activated(*parts[6:]), True, 0.4, EPS)

    assert torch.autograd.gradcheck(products, (*x, *y), fast_mode=True)


@both_sources
def test_threads_and_parts_change_nothing(own_values):
    x, y = sides(own_values)
    whole = activated_products(x, y, own_values, 0.0, EPS)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert_same(activated_products(x, y, own_values, 0.0, EPS), whole, [*x, *y])
    finally:
        torch.set_num_threads(threads)


def test_any_layout_of_the_input():
    x, y = sides(True)
    turned = Activated(
        x.joints.transpose(0, 1).contiguous().transpose(0, 1),
        *(part.flip(-1).flip(-1) for part in x[1:]),
    )
    assert not turned.joints.is_contiguous()
    expected = activated_products(x, y, True, 0.0, EPS)
    for part, other in zip(activated_products(turned, y, True, 0.0, EPS), expected, strict=True):
        assert torch.equal(part, other)


def test_a_frame_whose_norm_is_zero_has_a_finite_gradient():
    x, y = sides(True)
    with torch.no_grad():
        x.norm_weight.zero_()
        x.norm_bias.zero_()
    products = activated_products(x, y, True, 0.0, EPS)
    assert (products[1] == 0).all()
    for grad in gradients(products, [*x, *y]):
        assert grad.isfinite().all()


def test_operator_is_registered_whole():
    x, y = sides(True)
    parts = [t.detach().requires_grad_() for t in (*x, *y)]
    opcheck(torch.ops.pyg_fsar.activated_products.default, (parts, True, 0.0, EPS, torch.tensor(7)))


def test_without_a_compiler(monkeypatch):
    monkeypatch.setattr(activation, "library", lambda name: None)
    x, y = sides(True)
    with pytest.raises(RuntimeError, match="needs a C\\+\\+ compiler; set CXX"):
        activated_products(x, y, True, 0.0, EPS)
