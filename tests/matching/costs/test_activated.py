import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from pyg_fsar.kernels import has_kernel, use_backend
from pyg_fsar.matching import ActivatedCost, CosineCost, EuclideanCost, FrameCost, build_matcher
from pyg_fsar.matching.costs import activated

C = 16  # fills a vector register


@pytest.fixture(autouse=True, params=["fused", "plain"])
def route(request):
    if request.param == "plain":
        with use_backend("vectorised"):
            yield "plain"
    elif has_kernel("activation", C, torch.float64, torch.device("cpu")):
        yield "fused"
    else:
        pytest.skip("no C++ compiler")


def made(**options):
    """With weights of norms, and biases, that matter."""
    cost = ActivatedCost(C, **options).double()
    for parameter in cost.parameters():
        nn.init.normal_(parameter, 0.1, 0.5)
    return cost


def clips(count, frames=3, joints=5):
    return torch.randn(count, frames, joints, C, dtype=torch.float64, requires_grad=True)


def costs_and_grads(cost, x, y):
    """Costs, and the gradients of something made of them for both clips and all weights."""
    costs = cost(x, y)
    weight = torch.randn(costs.shape, generator=torch.Generator().manual_seed(0)).to(costs)
    inputs = [x, y, *cost.parameters()]
    return [costs, *torch.autograd.grad((costs.square() * weight).sum(), inputs)]


def assert_equal(results, expected):
    for result, other in zip(results, expected, strict=True):
        torch.testing.assert_close(result, other)


every_form = pytest.mark.parametrize(
    "options",
    [{}, {"heads": 4}, {"value_from": "other"}, {"cost": EuclideanCost(squared=False)}],
    ids=["plain", "heads", "value from other", "euclidean"],
)


@every_form
def test_each_pair_is_activated_and_then_compared(options):
    cost, x, y = made(**options).eval(), clips(4), clips(2)
    results = costs_and_grads(cost, x, y)
    assert results[0].shape == (4, 2, 3, 3)

    def pair_by_pair(x, y):
        activated_x, activated_y = cost.activation(x, y)
        rows = [
            torch.stack(
                [cost.cost(one[None], other[None])[0, 0] for one, other in zip(*row, strict=True)]
            )
            for row in zip(activated_x, activated_y, strict=True)
        ]
        return torch.stack(rows)

    class Expected(nn.Module):
        parameters = staticmethod(cost.parameters)
        forward = staticmethod(pair_by_pair)

    assert_equal(results, costs_and_grads(Expected(), x, y))


@every_form
def test_chunks_change_nothing(options):
    cost, x, y = made(**options).eval(), clips(5), clips(2)
    whole = costs_and_grads(cost, x, y)
    for size in (1, 2, 4):
        cost.chunk_size = size
        assert_equal(costs_and_grads(cost, x, y), whole)


def test_chunks_are_computed_again_with_the_same_dropout():
    cost, x, y = made(dropout=0.5, chunk_size=2).train(), clips(5), clips(2)
    torch.manual_seed(1)
    chunked = costs_and_grads(cost, x, y)
    # The same draws without any recomputation.
    torch.manual_seed(1)
    cost.chunk_size = None
    parts = [cost(part, y) for part in x.split(2)]

    class Joined(nn.Module):
        parameters = staticmethod(cost.parameters)
        forward = staticmethod(lambda *_: torch.cat(parts))

    assert_equal(chunked, costs_and_grads(Joined(), x, y))


def test_the_chunk_size_follows_from_the_budget(monkeypatch, route):
    cost, x, y = made().eval(), clips(7), clips(2)
    sizes = []
    fused, plain = (activated, "activated_products"), (cost.activation, "pairs")
    owner, name = fused if route == "fused" else plain
    compute = getattr(owner, name)

    def noting(x, *others, **options):
        sizes.append(len(x.joints))
        return compute(x, *others, **options)

    monkeypatch.setattr(owner, name, noting)

    def sizes_of_chunks():
        sizes.clear()
        cost(x, y)
        return sizes

    assert sizes_of_chunks() == [7]
    kept = activated.KEPT_WEIGHTS * 5 + (activated.KEPT_JOINTS * C if route == "plain" else 0)
    monkeypatch.setattr(activated, "BUDGET", 3 * 2 * 3 * 5 * kept * 2 * 8)
    assert sizes_of_chunks() == [3, 3, 1]
    monkeypatch.setattr(activated, "BUDGET", 1)
    assert sizes_of_chunks() == [1] * 7
    cost.chunk_size = 4
    assert sizes_of_chunks() == [4, 3]
    assert "chunk_size=4" in repr(cost)


@every_form
def test_within_is_each_clip_with_itself(options):
    cost, x = made(**options).eval(), clips(4)
    expected = torch.stack([cost(clip[None], clip[None])[0, 0] for clip in x])
    torch.testing.assert_close(cost.within(x), expected)


def test_identical_joints_stay_identical_whatever_the_other_clip():
    # Equal joints have equal queries, so a collapsed frame stays collapsed...
    cost, y = made().eval(), clips(2)
    x = clips(3)[:, :, :1].expand(3, 3, 5, C)
    activated_x, _ = cost.activation(x, y)
    torch.testing.assert_close(activated_x, activated_x[..., :1, :].expand_as(activated_x))
    # ... and mixing equal values adds the same, whatever the other clip.
    torch.testing.assert_close(activated_x[:, 0], activated_x[:, 1])


def test_gradients_by_finite_differences():
    cost = made(heads=2, chunk_size=1).eval()
    assert torch.autograd.gradcheck(cost, (clips(2, 2, 3), clips(2, 2, 3)), fast_mode=True)


@pytest.mark.parametrize("name", ["otam", "dtw", "soft_dtw", "bimhm", "cosine", "protonet"])
def test_every_aligner_takes_it_by_name(name):
    matcher = build_matcher(name, cost="activated", channels=C, heads=2, shots="average")
    assert isinstance(matcher.cost, ActivatedCost) and matcher.cost.activation.x_from_y.heads == 2
    logits = matcher(clips(4).float(), torch.arange(2).repeat(2), clips(3).float())
    assert logits.shape == (3, 2)
    logits.logsumexp(1).sum().backward()
    for parameter_name, parameter in matcher.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), parameter_name


def test_align_shows_the_activated_pair():
    matcher = build_matcher("soft_dtw", gamma=0.1, cost="activated", channels=C).double().eval()
    query, support = clips(1)[0], clips(1)[0]
    cost, _, distance = matcher.align(query, support)
    torch.testing.assert_close(cost, matcher.cost(query[None], support[None])[0, 0].detach())
    expected = matcher.distances(support[None], torch.zeros(1).long(), query[None])[0, 0]
    torch.testing.assert_close(distance, expected.detach())
    assert all(parameter.grad is None for parameter in matcher.parameters())


@pytest.mark.parametrize(
    ("weights", "clip", "autocast"),
    [
        (torch.float32, torch.float32, True),
        (torch.float32, torch.bfloat16, True),
        (torch.bfloat16, torch.bfloat16, False),
        (torch.float16, torch.float16, False),
    ],
)
def test_half_precision_gives_costs_in_float32(weights, clip, autocast):
    cost, x, y = ActivatedCost(C, heads=2).eval(), clips(3).float(), clips(2).float()
    expected = cost(x, y)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        costs = cost.to(weights)(x.to(clip), y.to(clip))
    assert costs.dtype == torch.float32
    torch.testing.assert_close(costs, expected, atol=0.03, rtol=0.03)


def test_a_new_cost_needs_only_forward():
    class Manhattan(FrameCost):
        def forward(self, x, y):
            return (x[:, None, :, None] - y[None, :, None]).abs().sum((-2, -1))

    cost, x, y = made(cost=Manhattan()).eval(), clips(3), clips(2)
    activated_x, activated_y = cost.activation(x, y)
    expected = (activated_x[:, :, :, None] - activated_y[:, :, None]).abs().sum((-2, -1))
    torch.testing.assert_close(cost(x, y), expected)


def test_state_dict_round_trip():
    cost, copy, x, y = made(heads=2).eval(), made(heads=2).eval(), clips(2), clips(2)
    copy.load_state_dict(cost.state_dict())
    assert torch.equal(copy(x, y), cost(x, y))
    assert isinstance(ActivatedCost().cost, CosineCost)


def test_bad_input():
    with pytest.raises(ValueError, match=r"channels=256, got clips .*out_channels"):
        ActivatedCost()(torch.zeros(2, 3, 5, C), torch.zeros(2, 3, 5, C))
    with pytest.raises(ValueError, match="3 and 4 frames; resample"):
        made()(clips(2, 3), clips(2, 4))
    with pytest.raises(ValueError, match="heads must divide"):
        ActivatedCost(C, heads=3)
    with pytest.raises(ValueError, match="chunk_size must be at least 1, got 0"):
        ActivatedCost(C, chunk_size=0)
    matcher = build_matcher("soft_dtw", cost="activated", channels=C, shots="average").double()
    lengths = torch.tensor([3, 2]), torch.tensor([3])
    with pytest.raises(ValueError, match="ActivatedCost needs query and support clips of equal"):
        matcher(clips(2), torch.arange(2), clips(1), *lengths)


def test_padding_of_equally_long_clips_changes_nothing():
    matcher = build_matcher("soft_dtw", cost="activated", channels=C, shots="average")
    matcher, support, query = matcher.double().eval(), clips(2), clips(3)
    expected = matcher(support[:, :2], torch.arange(2), query[:, :2])
    lengths = torch.tensor([2, 2]), torch.tensor([2, 2, 2])
    with torch.no_grad():
        support[:, 2:], query[:, 2:] = 1e3, -1e3
    torch.testing.assert_close(matcher(support, torch.arange(2), query, *lengths), expected)


@every_form
@pytest.mark.parametrize("chunk_size", [None, 2])
def test_hooks_and_pruned_weights_of_its_modules_count(options, chunk_size):
    cost, x, y = made(**options, chunk_size=chunk_size).eval(), clips(4), clips(2)
    expected = costs_and_grads(cost, x, y)
    modules = {name: m for name, m in cost.activation.named_modules() if not list(m.children())}
    called = set()
    for name, module in modules.items():
        module.register_forward_hook(lambda *_, name=name: called.add(name))
        module.register_full_backward_hook(lambda *_: None)
    assert_equal(costs_and_grads(cost, x, y), expected)
    assert called == set(modules)

    for module in modules.values():
        module._forward_hooks.clear()
        module._backward_hooks.clear()
        if isinstance(module, nn.Linear):
            prune.l1_unstructured(module, "weight", amount=0.5)
    optimizer = torch.optim.SGD(cost.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        cost(x, y).square().sum().backward()
        optimizer.step()
    pruned = cost(x, y)
    for module in modules.values():
        if isinstance(module, nn.Linear):
            prune.remove(module, "weight")
    torch.testing.assert_close(cost(x, y), pruned)


def test_directions_may_differ_in_dropout():
    cost, x, y = made(dropout=0.5), clips(4), clips(2)
    cost.activation.y_from_x.dropout.p = 0.0
    cost.activation.x_from_y.dropout.eval()
    out = cost(x, y)
    torch.testing.assert_close(cost(x, y), out)
    torch.testing.assert_close(cost.eval()(x, y), out)
