"""The method of Ma et al. (ECCV 2022): its parts, and its formulas as released."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cosine_similarity, cross_entropy

from pyg_fsar.matching import (
    ActivatedCost,
    CosineCost,
    EuclideanCost,
    build_matcher,
    cosine_cost,
    soft_dtw,
)
from pyg_fsar.nn import FewShotModel, RankMax

WAY, SHOT, QUERIES, T, V, C = 3, 2, 4, 4, 6, 16
SUPPORT_Y = torch.arange(WAY).repeat_interleave(SHOT)


def embeddings():
    generator = torch.Generator().manual_seed(0)
    shape = WAY * SHOT + QUERIES, T, V, C
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def loss_of(matcher, embedded):
    """Logits, penalty and loss as a model makes them in training."""
    model = FewShotModel(nn.Identity(), matcher)
    clips = torch.arange(len(embedded))
    logits, penalty = model(embedded, clips, SUPPORT_Y, len(embedded), WAY)
    return logits, penalty, cross_entropy(logits, torch.tensor([0, 1, 2, 0])) + 0.1 * penalty


# The released formulas, written out for one pair of clips or one frame.


def activate(direction, x, y):
    """Frames of ``x`` activated by those of ``y``, in evaluation."""
    query, key, value = direction.query(x), direction.key(y), direction.value(x)
    added = direction.out((query @ key.mT / math.sqrt(C)).softmax(dim=-1) @ value) + x
    centred = added - added.mean(dim=-1, keepdim=True)
    deviation = (centred.square().mean(dim=-1, keepdim=True) + 1e-12).sqrt()
    return centred / deviation * direction.norm.weight + direction.norm.bias


def aligned(x, y):
    """Soft-DTW of frames by their cosine, cell by cell."""
    cells = {(-1, -1): x.new_zeros(())}
    for i in range(T):
        for j in range(T):
            before = [cells[c] for c in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if c in cells]
            cost = 1 - cosine_similarity(x[i].flatten(), y[j].flatten(), dim=0)
            cells[i, j] = cost - 0.01 * torch.stack(before).div(-0.01).logsumexp(dim=0)
    return cells[T - 1, T - 1]


def fbnm(clips):
    """Penalty of all frames of clips."""
    frames = clips.softmax(dim=-1).flatten(0, 1)
    norms = frames.square().sum(dim=1).sqrt().sort(dim=1, descending=True).values
    return -norms[:, : min(V, C)].mean()


def released(embedded, distance):
    """Logits and penalty of the whole released head."""
    prototypes = embedded[: WAY * SHOT].view(WAY, SHOT, T, V, C).mean(dim=1)
    queries = embedded[WAY * SHOT :]
    distances = torch.stack([torch.stack([distance(q, p) for p in prototypes]) for q in queries])
    return -distances, fbnm(prototypes) + fbnm(queries)


@pytest.mark.parametrize("activation", [True, False])
def test_as_released_equals_the_released_formulas(activation):
    sizes = {"channels": C} if activation else {}
    matcher = build_matcher("dastm", as_released=True, activation=activation, **sizes).double()
    for parameter in matcher.parameters():
        nn.init.normal_(parameter, 0.1, 0.4)
    if activation:
        both = matcher.cost.activation
        assert both.x_from_y.heads == 1 and both.y_from_x.dropout.p == 0.2
        matcher.cost.eval()  # dropout has a test of its own

    def distance(query, prototype):
        if activation:
            return aligned(
                activate(both.x_from_y, query, prototype), activate(both.y_from_x, prototype, query)
            )
        own = (aligned(query, query) + aligned(prototype, prototype)) / 2
        return aligned(query, prototype) - own

    embedded = embeddings()
    logits, penalty, loss = loss_of(matcher, embedded)
    expected_logits, expected_penalty = released(embedded, distance)
    torch.testing.assert_close(logits, expected_logits)
    torch.testing.assert_close(penalty, expected_penalty)
    expected = cross_entropy(expected_logits, torch.tensor([0, 1, 2, 0])) + 0.1 * expected_penalty
    inputs = [embedded, *matcher.parameters()]
    for grad, other in zip(
        torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, inputs), strict=True
    ):
        torch.testing.assert_close(grad, other, rtol=1e-5, atol=1e-9)


def test_its_halves():
    embedded = embeddings()
    whole = build_matcher("dastm", channels=C)
    assert isinstance(whole.cost, ActivatedCost) and isinstance(whole.penalty, RankMax)
    half = build_matcher("dastm", rank_max=False, channels=C)
    assert isinstance(half.cost, ActivatedCost) and half.penalty is None
    assert loss_of(half.double(), embedded)[1] == 0
    half = build_matcher("dastm", activation=False, gamma=0.3)
    assert not list(half.parameters())
    logits, penalty, _ = loss_of(half, embedded)
    prototypes = embedded[: WAY * SHOT].view(WAY, SHOT, T, V, C).mean(dim=1)
    queries = embedded[WAY * SHOT :]
    torch.testing.assert_close(logits, -soft_dtw(cosine_cost(queries, prototypes), 0.3))
    torch.testing.assert_close(penalty, RankMax()(prototypes) + RankMax()(queries))


def test_explicit_options_win_over_released_ones():
    matcher = build_matcher(
        "dastm", as_released=True, gamma=0.5, divergence=True, rank_method="logdet",
        heads=2, dropout=0.1, channels=C, shots="average",
    )  # fmt: skip
    assert matcher.aligner.keywords["gamma"] == 0.5 and matcher.divergence
    assert matcher.penalty.method == "logdet" and matcher.shots == "average"
    assert matcher.cost.activation.x_from_y.heads == 2
    assert build_matcher("dastm", as_released=True, channels=C).penalty.method == "fbnm"
    own = build_matcher("dastm", activation=False, penalty=RankMax("frobenius"))
    assert own.penalty.method == "frobenius"


def test_another_cost():
    cost = ActivatedCost(C, cost=EuclideanCost())
    assert build_matcher("dastm", cost=cost).cost is cost
    assert isinstance(build_matcher("dastm", cost="activated", channels=C).cost.cost, CosineCost)
    euclidean = build_matcher("dastm", cost="euclidean", activation=False)
    assert isinstance(euclidean.cost, EuclideanCost)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"cost": "euclidean"}, r"activation=True and cost='euclidean' contradict .*ActivatedCost"),
        ({"cost": "activated", "activation": False}, "activation=False and cost='activated'"),
        ({"rank_max": False, "rank_method": "fbnm"}, "rank_method='fbnm' needs rank_max=True"),
        ({"rank_method": "trace"}, "unknown method 'trace'"),
    ],
)
def test_options_that_contradict_each_other(options, match):
    with pytest.raises(ValueError, match=match):
        build_matcher("dastm", **options)


@pytest.mark.parametrize("options", [{"activation": False, "heads": 2}, {"lam": 0.1}])
def test_options_it_does_not_have(options):
    with pytest.raises(TypeError, match="'dastm' has no option"):
        build_matcher("dastm", **options)


def test_its_own_options_are_no_options_of_others():
    with pytest.raises(TypeError, match="'soft_dtw' has no option as_released, rank_max"):
        build_matcher("soft_dtw", rank_max=True, as_released=True)


def test_every_weight_gets_a_gradient():
    matcher = build_matcher("dastm", channels=C, heads=2, learn_scale=True).double()
    loss_of(matcher, embeddings())[2].backward()
    for name, parameter in matcher.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_saved_and_loaded(tmp_path):
    matcher = build_matcher("dastm", channels=C, as_released=True).double().eval()
    matcher.save_pretrained(tmp_path)
    loaded = type(matcher).from_pretrained(tmp_path)
    support, query = embeddings().split([WAY * SHOT, QUERIES])
    assert torch.equal(loaded(support, SUPPORT_Y, query), matcher(support, SUPPORT_Y, query))
    assert loaded.penalty.method == "fbnm"


def test_a_training_step_compiles_whole():
    torch._dynamo.reset()
    matcher = build_matcher("dastm", channels=C, dropout=0.0, chunk_size=2)
    model = FewShotModel(nn.Linear(3, C), matcher)
    bodies = torch.randn(WAY * SHOT + QUERIES, T, V, 3)

    def loss():
        logits, penalty = model(
            bodies, torch.arange(len(bodies)), SUPPORT_Y, num_clips=len(bodies), n_way=WAY
        )
        return cross_entropy(logits, torch.tensor([0, 1, 2, 0])) + 0.1 * penalty

    grads = []
    for step in (loss, torch.compile(loss, backend="aot_eager", fullgraph=True)):
        grads.append(torch.autograd.grad(step(), list(model.parameters())))
    for grad, other in zip(*grads, strict=True):
        torch.testing.assert_close(grad, other, rtol=1e-4, atol=1e-6)
