import copy
import math
from functools import partial

import pytest
import torch

from pyg_fsar.matching import (
    OTAM,
    CosineCost,
    EuclideanCost,
    Matcher,
    SoftDTW,
    build_matcher,
    cosine_cost,
    dtw,
    dtw_path,
    soft_alignment,
    soft_dtw,
)

NAMES = ["protonet", "cosine", "dtw", "soft_dtw", "otam", "bimhm"]


def episode(n_way=3, k_shot=2, n_query=4, frames=6):
    support = torch.randn(n_way * k_shot, frames, 5, 4)
    query = torch.randn(n_query, frames, 5, 4)
    return support, torch.arange(n_way).repeat_interleave(k_shot), query


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shots", ["mean", "average"])
@pytest.mark.parametrize("divergence", [False, True])
def test_order_of_clips_does_not_matter(name, shots, divergence):
    support, support_y, query = episode()
    matcher = build_matcher(name, shots=shots, divergence=divergence)
    logits = matcher(support, support_y, query)
    assert logits.shape == (4, 3)
    order, query_order = torch.randperm(6), torch.randperm(4)
    shuffled = matcher(support[order], support_y[order], query[query_order])
    torch.testing.assert_close(shuffled, logits[query_order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_query_is_nearest_to_the_class_it_resembles(name):
    support, support_y, _ = episode()
    query = support + 0.1 * torch.randn_like(support)
    for shots in ("mean", "average"):
        logits = build_matcher(name, shots=shots)(support, support_y, query)
        assert (logits.argmax(1) == support_y).all()


@pytest.mark.parametrize("name", NAMES)
def test_with_one_shot_both_kinds_of_class_agree(name):
    support, support_y, query = episode(k_shot=1)
    mean, average = (build_matcher(name, shots=shots) for shots in ("mean", "average"))
    torch.testing.assert_close(mean(support, support_y, query), average(support, support_y, query))


def test_mean_aligns_with_the_mean_and_average_averages_distances():
    support, support_y, query = episode()
    mean = build_matcher("soft_dtw", gamma=0.1).distances(support, support_y, query)
    prototypes = support.view(3, 2, *support.shape[1:]).mean(1)
    torch.testing.assert_close(mean, soft_dtw(cosine_cost(query, prototypes), 0.1))
    average = build_matcher("soft_dtw", gamma=0.1, shots="average")
    expected = soft_dtw(cosine_cost(query, support), 0.1).view(4, 3, 2).mean(2)
    torch.testing.assert_close(average.distances(support, support_y, query), expected)


def test_classes_may_have_different_numbers_of_clips():
    support, _, query = episode()
    support_y = torch.tensor([1, 0, 1, 2, 1, 2])
    prototypes = torch.stack([support[support_y == label].mean(0) for label in range(3)])
    logits = build_matcher("dtw")(support, support_y, query)
    torch.testing.assert_close(logits, -dtw(cosine_cost(query, prototypes)))
    every = dtw(cosine_cost(query, support))
    logits = build_matcher("dtw", shots="average")(support, support_y, query)
    expected = torch.stack([every[:, support_y == label].mean(1) for label in range(3)], dim=1)
    torch.testing.assert_close(logits, -expected)


def test_protonet_is_the_squared_distance_of_flattened_maps():
    support, support_y, query = episode(k_shot=1)
    expected = torch.cdist(query.flatten(1), support.flatten(1)).square()
    torch.testing.assert_close(
        build_matcher("protonet")(support, support_y, query), -expected, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("name", ["dtw", "soft_dtw", "otam"])
def test_divergence_subtracts_the_distances_of_the_clips_to_themselves(name):
    support, support_y, query = episode(k_shot=1)
    plain = build_matcher(name)
    support = torch.cat([support[:2], query[:1]])
    self_query, self_support = (
        torch.stack(
            [plain.distances(clip[None], torch.zeros(1).long(), clip[None])[0, 0] for clip in clips]
        )
        for clips in (query, support)
    )
    divergence = build_matcher(name, divergence=True).distances(support, support_y, query)
    expected = plain.distances(support, support_y, query)
    expected = expected - 0.5 * (self_query[:, None] + self_support)
    torch.testing.assert_close(divergence, expected, rtol=1e-4, atol=1e-5)
    assert divergence[0, 2].item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", ["dtw", "soft_dtw", "otam", "bimhm"])
@pytest.mark.parametrize("divergence", [False, True])
def test_padded_clips_equal_trimmed_clips(name, divergence):
    support, support_y, query = episode()
    support_lengths, query_lengths = torch.tensor([6, 2, 3, 3, 1, 5]), torch.tensor([4, 6, 1, 3])
    matcher = build_matcher(name, shots="average", divergence=divergence)
    expected = torch.empty(4, 6)
    for q, n in enumerate(query_lengths):
        for s, m in enumerate(support_lengths):
            distance = matcher.distances(
                support[s, None, :m], torch.zeros(1).long(), query[q, None, :n]
            )
            expected[q, s] = distance.item()
    for clip, length in zip(support, support_lengths, strict=True):
        clip[length:] = 1e4
    distances = matcher.distances(support, support_y, query, support_lengths, query_lengths)
    expected = expected.view(4, 3, 2).mean(2)
    torch.testing.assert_close(distances, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_lengths_of_whole_clips_change_nothing(name):
    support, support_y, query = episode()
    matcher = build_matcher(name)
    whole = matcher(support, support_y, query)
    sixes = torch.full((6,), 6)
    torch.testing.assert_close(matcher(support, support_y, query, sixes), whole)
    torch.testing.assert_close(matcher(support, support_y, query, None, sixes[:4]), whole)


def test_clips_of_different_length_have_no_mean():
    support, support_y, query = episode()
    lengths = torch.tensor([6, 5, 4, 4, 3, 3])
    with pytest.raises(ValueError, match="shots='average'"):
        build_matcher("dtw")(support, support_y, query, lengths)
    lengths[1] = 6
    assert build_matcher("dtw")(support, support_y, query, lengths).shape == (4, 3)


def test_scale():
    support, support_y, query = episode()
    plain = build_matcher("dtw")(support, support_y, query)
    torch.testing.assert_close(
        build_matcher("dtw", scale=3.0)(support, support_y, query), 3 * plain
    )
    learned = build_matcher("dtw", scale=3.0, learn_scale=True)
    logits = learned(support, support_y, query)
    torch.testing.assert_close(logits, 3 * plain)
    logits.sum().backward()
    assert [name for name, _ in learned.named_parameters()] == ["log_scale"]
    assert learned.log_scale.grad != 0
    assert not list(build_matcher("dtw").parameters())


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_both_clips_and_stay_finite(name):
    support, support_y, query = episode()
    support[0, 0] = query[0, 3] = 0
    support.requires_grad_()
    query.requires_grad_()
    logits = build_matcher(name, divergence=True)(support, support_y, query)
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
    for clips in (support, query):
        assert clips.grad.isfinite().all() and (clips.grad != 0).any()


def test_align_shows_what_the_distance_is_made_of():
    support, _, query = episode()
    matcher = build_matcher("soft_dtw", gamma=0.1)
    cost, weights, distance = matcher.align(query[0], support[0, :4])
    torch.testing.assert_close(cost, cosine_cost(query[:1], support[:1, :4])[0, 0])
    torch.testing.assert_close(weights, soft_alignment(cost, 0.1))
    torch.testing.assert_close(distance, soft_dtw(cost, 0.1))
    _, weights, _ = build_matcher("dtw").align(query[0], support[0])
    assert (
        weights.nonzero().tolist() == dtw_path(cosine_cost(query[:1], support[:1])[0, 0]).tolist()
    )
    assert not any(t.requires_grad for t in matcher.align(query[0].requires_grad_(), support[0]))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_align_works_where_gradients_are_off(context):
    with context():
        support, _, query = episode()
        _, weights, _ = build_matcher("cosine").align(query[0], support[0])
    torch.testing.assert_close(weights, torch.eye(6) / 6)


def test_n_way_may_exceed_or_must_cover_the_labels():
    support, support_y, query = episode()
    matcher = build_matcher("dtw")
    torch.testing.assert_close(
        matcher(support, support_y, query, n_way=3), matcher(support, support_y, query)
    )
    with pytest.raises(ValueError, match=r"number classes 0\.\.1"):
        matcher(support, support_y, query, n_way=2)
    with pytest.raises(ValueError, match=r"classes \[3\] have no support clip"):
        matcher(support, support_y, query, n_way=4)


@pytest.mark.parametrize(
    ("support_y", "match"),
    [
        (torch.tensor([0, 0, 2, 2, 2, 2]), r"classes \[1\] have no support clip"),
        (torch.tensor([-1, 0, 1, 1, 1, 1]), "number classes"),
        (torch.tensor([0, 1]), "support clips: y must hold one number for each clip"),
        (torch.zeros(6, 1).long(), "support clips: y must hold one number for each clip"),
    ],
)
def test_bad_labels(support_y, match):
    support, _, query = episode()
    with pytest.raises(ValueError, match=match):
        build_matcher("dtw")(support, support_y, query)


both_shots = pytest.mark.parametrize("shots", ["mean", "average"])


@both_shots
@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8])
def test_labels_and_lengths_of_any_integer_dtype(shots, dtype):
    support, support_y, query = episode()
    matcher, lengths = build_matcher("dtw", shots=shots), torch.full((6,), 5)
    expected = matcher(support, support_y, query, lengths, lengths[:4])
    labels, lengths = support_y.to(dtype), lengths.to(dtype)
    assert torch.equal(matcher(support, labels, query, lengths, lengths[:4]), expected)


@both_shots
@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.complex64])
def test_labels_and_lengths_must_be_integers(shots, dtype):
    support, support_y, query = episode()
    matcher, lengths = build_matcher("dtw", shots=shots), torch.ones(6, dtype=dtype)
    with pytest.raises(TypeError, match=rf"support clips: y must be .*{dtype}; give y.long\(\)"):
        matcher(support, support_y.to(dtype), query)
    with pytest.raises(TypeError, match="support clips: lengths must be integers"):
        matcher(support, support_y, query, lengths)
    with pytest.raises(TypeError, match="query clips: lengths must be integers"):
        matcher(support, support_y, query, None, lengths[:4])


@both_shots
@pytest.mark.parametrize("shape", [(), (5,), (6, 1)])
def test_as_many_lengths_as_clips(shots, shape):
    support, support_y, query = episode()
    matcher, lengths = build_matcher("dtw", shots=shots), torch.ones(shape).long()
    with pytest.raises(ValueError, match=r"support clips: lengths must hold .* for 6 clips"):
        matcher(support, support_y, query, lengths)
    with pytest.raises(ValueError, match=r"query clips: lengths must hold .* for 4 clips"):
        matcher(support, support_y, query, None, lengths)


@both_shots
def test_support_and_query_of_one_precision(shots):
    support, support_y, query = episode()
    matcher = build_matcher("dtw", shots=shots)
    with pytest.raises(TypeError, match=r"query is torch.float64; bring both to one dtype"):
        matcher(support, support_y, query.double())
    with pytest.raises(TypeError, match=r"support is torch.float64 and query is torch.float32"):
        matcher(support.double(), support_y, query)
    # Costs bring half precision to float32, of one side just as of both.
    halved = support.bfloat16()
    torch.testing.assert_close(
        matcher(halved, support_y, query), matcher(halved.float(), support_y, query), rtol=0.02,
        atol=0.02,
    )  # fmt: skip


def test_build_by_name_and_option():
    assert isinstance(build_matcher("dtw", cost="euclidean", squared=False).cost, EuclideanCost)
    assert isinstance(build_matcher("protonet", cost=CosineCost()).cost, CosineCost)
    text = repr(build_matcher("soft_dtw", gamma=0.5, divergence=True))
    assert "SoftDTW(gamma=0.5, band=None)" in text and "divergence=True" in text
    assert copy.deepcopy(build_matcher("otam", lam=0.2)).aligner == OTAM(lam=0.2)
    assert "soft_dtw(gamma=1.0)" in repr(Matcher(CosineCost(), partial(soft_dtw, gamma=1.0)))


def test_build_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="unknown matcher 'emd'; known are protonet, cosine, dtw"):
        build_matcher("emd")
    with pytest.raises(ValueError, match="unknown cost 'l1'; known are cosine, euclidean"):
        build_matcher("dtw", cost="l1")
    known = (
        "activation, band, cost, divergence, joint_shrinkage, joint_weights, learn_scale, scale, "
        "shots$"
    )
    with pytest.raises(TypeError, match=f"'dtw' has no option gamma; it has {known}"):
        build_matcher("dtw", gamma=0.1)
    with pytest.raises(TypeError, match=r"no option gama; it has activation, as_rel.*, gamma, "):
        build_matcher("dastm", gama=0.1)
    with pytest.raises(ValueError, match="shots must be"):
        build_matcher("dtw", shots="median")
    with pytest.raises(ValueError, match="scale must be a positive number"):
        build_matcher("dtw", scale=0.0)


@pytest.mark.parametrize(
    ("name", "option", "error", "match"),
    [
        ("soft_dtw", {"gamma": 0}, ValueError, "gamma must be a positive number, got 0"),
        ("ngm", {"gamma": math.inf}, ValueError, "gamma must be a positive number, got inf"),
        ("dastm", {"gamma": -1.0}, ValueError, "gamma must be a positive number"),
        ("otam", {"lam": -1}, ValueError, "lam must be a positive number, got -1"),
        ("dtw", {"band": "a"}, TypeError, "band must be a whole number"),
        ("soft_dtw", {"band": -1}, ValueError, "band must not be negative"),
        ("cosine", {"reduce": "max"}, ValueError, "reduce must be 'mean' or 'sum', got 'max'"),
        ("soft_dtw", {"gamma": torch.ones(1, requires_grad=True)}, TypeError, "gamma must be a"),
    ],
)
def test_options_of_the_aligner_are_checked_when_it_is_built(name, option, error, match):
    with pytest.raises(error, match=match):
        build_matcher(name, **option)


def test_a_function_serves_as_aligner_as_well():
    support, support_y, query = episode()
    ours, theirs = (Matcher(CosineCost(), a) for a in (partial(soft_dtw, gamma=1.0), SoftDTW(1.0)))
    assert torch.equal(ours(support, support_y, query), theirs(support, support_y, query))
