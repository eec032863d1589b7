"""The method of Ma et al. (ECCV 2022): its parts, and its formulas as released."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cosine_similarity, cross_entropy

from pyg_fsar import FewShotModel
from pyg_fsar.data import Episode
from pyg_fsar.matching import (
    ActivatedCost,
    CosineCost,
    EuclideanCost,
    SoftDTW,
    build_matcher,
    cosine_cost,
    soft_dtw,
)
from pyg_fsar.nn import RankMax

WAY, SHOT, QUERIES, T, V, C = 3, 2, 4, 4, 6, 16
SUPPORT_Y = torch.arange(WAY).repeat_interleave(SHOT)


def episode_of(bodies):
    """An episode of one body each."""
    return Episode(
        bodies,
        body_to_clip=torch.arange(len(bodies)),
        lengths=torch.full((len(bodies),), bodies.size(1)),
        support_y=SUPPORT_Y,
        query_y=torch.tensor([0, 1, 2, 0]),
        classes=torch.arange(WAY),
    )


def embeddings():
    generator = torch.Generator().manual_seed(0)
    shape = WAY * SHOT + QUERIES, T, V, C
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def loss_of(matcher, embedded, penalty=None):
    """Logits, penalty and loss as a model makes them in training."""
    model = FewShotModel(nn.Identity(), matcher, penalty)
    logits, penalty = model(episode_of(embedded))
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
    logits, penalty, loss = loss_of(matcher, embedded, RankMax("fbnm"))
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
    assert isinstance(whole.cost, ActivatedCost) and isinstance(whole.cost.cost, CosineCost)
    assert loss_of(whole.double(), embedded)[1] == 0
    half = build_matcher("dastm", activation=False, gamma=0.3)
    assert not list(half.parameters())
    logits, penalty, _ = loss_of(half, embedded, RankMax())
    prototypes = embedded[: WAY * SHOT].view(WAY, SHOT, T, V, C).mean(dim=1)
    queries = embedded[WAY * SHOT :]
    torch.testing.assert_close(logits, -soft_dtw(cosine_cost(queries, prototypes), 0.3))
    torch.testing.assert_close(penalty, RankMax()(prototypes) + RankMax()(queries))


def test_explicit_options_win_over_released_ones():
    matcher = build_matcher(
        "dastm", as_released=True, gamma=0.5, divergence=True, heads=2, dropout=0.1, channels=C,
        shots="average",
    )  # fmt: skip
    assert matcher.aligner == SoftDTW(gamma=0.5) and matcher.divergence
    assert matcher.shots == "average"
    assert matcher.cost.activation.x_from_y.heads == 2
    assert build_matcher("dastm", as_released=True).aligner == SoftDTW(gamma=0.01)
    assert build_matcher("dastm").aligner == SoftDTW()


def test_another_cost():
    activated = build_matcher("dastm", cost="euclidean", channels=C).cost
    assert isinstance(activated, ActivatedCost) and isinstance(activated.cost, EuclideanCost)
    euclidean = build_matcher("dastm", cost="euclidean", activation=False)
    assert isinstance(euclidean.cost, EuclideanCost)


@pytest.mark.parametrize("cost", ["activated", ActivatedCost(C)])
def test_clips_are_activated_once(cost):
    with pytest.raises(ValueError, match="activation=True contradicts a cost that activates"):
        build_matcher("dastm", cost=cost)


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


def test_a_training_step_compiles_whole():
    torch._dynamo.reset()
    matcher = build_matcher("dastm", channels=C, dropout=0.0, chunk_size=2)
    model = FewShotModel(nn.Linear(3, C), matcher, RankMax())
    episode = episode_of(torch.randn(WAY * SHOT + QUERIES, T, V, 3))

    def loss():
        logits, penalty = model(episode)
        return cross_entropy(logits, torch.tensor([0, 1, 2, 0])) + 0.1 * penalty

    grads = []
    for step in (loss, torch.compile(loss, backend="aot_eager", fullgraph=True)):
        grads.append(torch.autograd.grad(step(), list(model.parameters())))
    for grad, other in zip(*grads, strict=True):
        torch.testing.assert_close(grad, other, rtol=1e-4, atol=1e-6)
