from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pyg_fsar.nn import RANK_METHODS, RankMax, nuclear_norm

METHODS = list(RANK_METHODS)
DEGENERATE = {
    "rank one": torch.randn(1, 12).expand(5, 12) * torch.arange(1.0, 6)[:, None],
    "zeros": torch.zeros(5, 12),
    "one zero joint": torch.cat([torch.zeros(1, 12), torch.ones(4, 12)]),
    "repeated singular values": torch.eye(5, 12),
    "saturated": 1e4 * torch.eye(5, 12),
    "saturated and collapsed": 1e4 * torch.eye(5, 12)[:1].expand(5, 12),
    "huge": 1e18 * torch.randn(5, 12),
}


def naive(frame: Tensor, method: str) -> Tensor:
    """The formula for one frame, to be maximised."""
    joints, channels = frame.shape
    rank = min(joints, channels)
    softmaxed = frame.softmax(1)
    if method == "nuclear":
        return torch.linalg.svdvals(softmaxed).sum() / rank
    if method == "fbnm":
        return softmaxed.norm(dim=0).sort(descending=True).values[:rank].mean()
    if method == "frobenius":
        return softmaxed.norm()
    unit = frame / frame.norm(dim=1, keepdim=True)
    factor = channels / (0.25 * joints)
    logdet = torch.logdet(torch.eye(joints).to(frame) + factor * unit @ unit.t())
    return logdet / (rank * torch.log(torch.tensor(1 + factor * joints / rank)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(2, 3, 5, 12), (2, 3, 12, 5), (4, 4), (1, 6)])
def test_equals_the_mean_over_frames(method: str, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=torch.double)
    frames = x.reshape(-1, *shape[-2:])
    expected = -torch.stack([naive(frame, method) for frame in frames]).mean()
    torch.testing.assert_close(RankMax(method)(x), expected, rtol=1e-5, atol=1e-6)


# Values of the four cases for 25 joints of 256 channels; random ones are means over draws, given
# with the standard deviation of one draw.
CASES = {
    "identical random rows": lambda: torch.randn(1, 256).expand(25, 256),
    "independent random rows": lambda: torch.randn(25, 256),
    "distinct one-hot rows": lambda: 1e3 * torch.eye(25, 256),
    "the same one-hot row": lambda: 1e3 * torch.eye(25, 256)[:1].expand(25, 256),
}
TABLE = {
    "identical random rows": {"fbnm": 0.0738, "nuclear": 0.0201, "frobenius": 0.503},
    "independent random rows": {"fbnm": 0.0497, "nuclear": 0.0844, "frobenius": 0.491},
    "distinct one-hot rows": {"fbnm": 1.0, "nuclear": 1.0, "frobenius": 5.0},
    "the same one-hot row": {"fbnm": 0.2, "nuclear": 0.2, "frobenius": 5.0},
}


@pytest.mark.parametrize("method", ["fbnm", "nuclear", "frobenius"])
@pytest.mark.parametrize("case", list(CASES))
def test_table_of_four_cases(case: str, method: str) -> None:
    draws = -torch.stack([RankMax(method)(CASES[case]()) for _ in range(50)])
    tolerance = 2.5 * float(draws.std()) + 1e-5
    assert abs(float(draws.mean()) - TABLE[case][method]) < tolerance


def test_only_exact_measures_order_the_four_cases_rightly() -> None:
    value = {
        (method, case): -float(RankMax(method)(CASES[case]()))
        for method in METHODS
        for case in CASES
    }
    for method in ("nuclear", "logdet"):
        for soft, sharp in (("identical", "independent"), ("the same one-hot", "distinct one-hot")):
            collapsed = next(v for (m, c), v in value.items() if m == method and c.startswith(soft))
            diverse = next(v for (m, c), v in value.items() if m == method and c.startswith(sharp))
            assert diverse > 1.5 * collapsed
    assert value["fbnm", "identical random rows"] > value["fbnm", "independent random rows"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", list(DEGENERATE))
def test_degenerate_frames_are_finite(method: str, case: str) -> None:
    x = DEGENERATE[case].clone().requires_grad_()
    loss = RankMax(method)(x)
    loss.backward()
    assert loss.isfinite() and x.grad is not None and x.grad.isfinite().all()
    assert x.grad.abs().max() < 1e4


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(2, 4, 6), (2, 6, 4)])
def test_gradient(method: str, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(RankMax(method), (x,))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sizes", [(7, 1, 4), (3, 3), (2, 9, 6, 12)])
def test_batch_of_graphs_equals_the_loop_over_graphs(method: str, sizes: tuple[int, ...]) -> None:
    x = torch.randn(sum(sizes), 6, dtype=torch.double, requires_grad=True)
    batch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    rank_max = RankMax(method)
    loss = rank_max(x, batch)
    expected = torch.stack([rank_max(graph) for graph in x.split(sizes)]).mean()
    torch.testing.assert_close(loss, expected)
    for one, other in zip(
        torch.autograd.grad(loss, x), torch.autograd.grad(expected, x), strict=True
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("method", METHODS)
def test_graphs_without_nodes_do_not_count(method: str) -> None:
    x = torch.randn(7, 6, requires_grad=True)
    loss = RankMax(method)(x, torch.tensor([0] * 3 + [2] * 4))
    torch.testing.assert_close(loss, RankMax(method)(x, torch.tensor([0] * 3 + [1] * 4)))
    loss.backward()
    assert x.grad is not None and x.grad.isfinite().all()


# The other two prefer a collapsed frame, or do not see it.
@pytest.mark.parametrize("method", ["nuclear", "logdet"])
def test_training_with_it_makes_equal_joints_differ(method: str) -> None:
    x = (torch.randn(1, 16) + 1e-2 * torch.randn(5, 16)).requires_grad_()
    optimizer = torch.optim.SGD([x], lr=5.0)
    distance = torch.cdist(x, x).mean().item()
    for _ in range(20):
        optimizer.zero_grad()
        RankMax(method)(x).backward()
        optimizer.step()
    assert torch.cdist(x, x).mean() > 2 * distance


@pytest.mark.parametrize("method", METHODS)
def test_is_computed_in_float32_under_autocast_and_half_precision(method: str) -> None:
    x = torch.randn(3, 5, 12).bfloat16()
    expected = RankMax(method)(x.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(RankMax(method)(x), expected)


def test_nuclear_norm_equals_svd() -> None:
    for shape in [(3, 25, 64), (3, 64, 25), (7, 7)]:
        x = torch.randn(shape, requires_grad=True)
        norm = nuclear_norm(x)
        expected = torch.linalg.svdvals(x).sum(-1)
        torch.testing.assert_close(norm, expected)
        weights = torch.randn_like(norm)
        (grad,) = torch.autograd.grad(norm, x, weights)
        (expected_grad,) = torch.autograd.grad(expected, x, weights)
        torch.testing.assert_close(grad, expected_grad, rtol=1e-4, atol=1e-5)


def test_nuclear_norm_of_deficient_matrices() -> None:
    left, right = torch.randn(5, 2), torch.randn(2, 12)
    x = (left @ right).double().requires_grad_()
    norm = nuclear_norm(x)
    norm.backward()
    u, s, vh = torch.linalg.svd(x.detach(), full_matrices=False)
    torch.testing.assert_close(norm, s.sum())
    assert x.grad is not None
    torch.testing.assert_close(x.grad, u[:, :2] @ vh[:2])
    zeros = torch.zeros(5, 12, requires_grad=True)
    nuclear_norm(zeros).backward()
    assert torch.equal(zeros.grad, torch.zeros(5, 12))


def test_refuses_what_it_cannot_measure() -> None:
    with pytest.raises(ValueError, match="nuclear, fbnm, frobenius, logdet"):
        RankMax("rank")
    with pytest.raises(ValueError, match=r"\[..., V, C\]"):
        RankMax()(torch.randn(5))
    with pytest.raises(ValueError, match="at least one"):
        RankMax()(torch.empty(0, 25, 3))
    with pytest.raises(ValueError, match="with batch"):
        RankMax()(torch.randn(2, 5, 3), torch.zeros(5, dtype=torch.long))
    assert repr(RankMax("fbnm")) == "RankMax('fbnm')"
