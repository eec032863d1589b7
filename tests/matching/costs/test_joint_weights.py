from __future__ import annotations

import math

import pytest
import torch

from pyg_fsar.matching import (
    ActivatedCost,
    CosineCost,
    EuclideanCost,
    FrameCost,
    NGMCost,
    UncertainCost,
    build_matcher,
    joint_weights,
)
from pyg_fsar.training import ModelOptions, build_model

WEIGHTS = (0.0, 1.0, 2.0, 5.0)
COSTS = {
    "cosine": CosineCost,
    "euclidean": EuclideanCost,
    "not squared": lambda **options: EuclideanCost(squared=False, **options),
    "ngm": lambda **options: NGMCost(4, **options),
    "uncertain": lambda **options: UncertainCost(4, **options),
    "activated": lambda **options: ActivatedCost(4, dropout=0.0, cost=CosineCost(**options)),
}
every_cost = pytest.mark.parametrize("name", COSTS)


def clips(count, frames=3):
    return torch.randn(count, frames, 4, 4)


def made(name, **options):
    torch.manual_seed(0)
    return COSTS[name](**options)


@pytest.mark.parametrize("kind", ["outside", "pairs", "both"])
def test_equal_the_formula_frame_by_frame(kind):
    x, y = clips(2).double(), clips(3).double()
    outside = torch.tensor(WEIGHTS).double() / 2
    pairs = torch.rand(3, 4).double()
    options = {"joint_weights": WEIGHTS} if kind != "pairs" else {}
    given = (pairs,) if kind != "outside" else ()
    for cost in (CosineCost(**options), EuclideanCost(**options)):
        costs = cost(x, y, *given)
        for q, s, i, j in torch.cartesian_prod(*map(torch.arange, (2, 3, 3, 3))).tolist():
            weights = (outside if options else 1) * (pairs[s] if given else torch.ones(4).double())
            a, b = x[q, i], y[s, j]
            if isinstance(cost, EuclideanCost):
                expected = (weights * (a - b).square().sum(dim=1)).sum()
            else:
                inner, *squares = (
                    (weights * (u * v).sum(dim=1)).sum() for u, v in ((a, b), (a, a), (b, b))
                )
                expected = 1 - inner / (squares[0] * squares[1]).sqrt()
            torch.testing.assert_close(costs[q, s, i, j], expected)


@every_cost
def test_equal_weights_change_nothing(name):
    x, y = clips(2), clips(3)
    costs = made(name, joint_weights=[3.0] * 4)(x, y)
    torch.testing.assert_close(costs, made(name)(x, y))


@every_cost
def test_ways_to_compare_agree(name):
    cost = made(name, joint_weights=WEIGHTS).double()
    x, y = clips(3).double(), clips(3).double()
    paired = FrameCost.paired(cost, x, y)
    torch.testing.assert_close(cost.paired(x, y), paired)
    torch.testing.assert_close(cost.within(x), FrameCost.paired(cost, x, x), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["cosine", "euclidean", "not squared"])
def test_a_joint_without_weight_has_no_effect(name):
    cost, x, y = made(name, joint_weights=WEIGHTS), clips(2), clips(3)
    costs = cost(x, y)
    x[:, :, 0] = y[:, :, 0] = 100.0
    torch.testing.assert_close(cost(x, y), costs)


@pytest.mark.parametrize("name", ["cosine", "euclidean", "not squared"])
def test_gradients_of_empty_frames_are_finite(name):
    x, y, weights = clips(2), clips(3), torch.rand(3, 4)
    y[0] = x[0]
    x[1] = y[1] = 0
    inputs = [z.requires_grad_() for z in (x, y, weights)]
    made(name)(*inputs).sum().backward()
    assert all(z.grad.isfinite().all() for z in inputs)


def test_names_of_parts_and_joints():
    weights = joint_weights("ntu25", {"torso": 2.0, "head": 0.0, "spine_base": 3.0}, rest=0.5)
    assert weights[:4] == (3.0, 2.0, 2.0, 0.0) and weights[20] == 2.0 and weights[10] == 0.5
    support, query, y = torch.randn(2, 5, 25, 3), torch.randn(3, 5, 25, 3), torch.arange(2)
    matcher = build_matcher("soft_dtw", joint_weights=weights)
    other = query.clone()
    other[:, :, 3] = 9.0
    torch.testing.assert_close(matcher(support, y, query), matcher(support, y, other))
    with pytest.raises(ValueError, match=r"no part or joint 'tail'; its parts are .*torso"):
        joint_weights("ntu25", {"tail": 1.0})
    with pytest.raises(ValueError, match="at least one of them above 0"):
        joint_weights("ntu25", {}, rest=0.0)


def test_are_kept_in_folder_and_options(tmp_path):
    matcher = build_matcher("dtw", cost="euclidean", joint_weights=WEIGHTS)
    matcher.save_pretrained(tmp_path)
    loaded = type(matcher).from_pretrained(tmp_path)
    x, y = clips(2), torch.arange(2)
    assert torch.equal(loaded(x, y, x), matcher(x, y, x))
    text = f"joint_weights={tuple(range(1, 21))}"
    options = ModelOptions(blocks=2, matcher="dtw", matcher_options=(text,))
    assert len(build_model(options, "kinect20").matcher.cost.joint_weights) == 20


@pytest.mark.parametrize("weights", [(), (0, 0), (1, -1), (1, math.nan), (1e308, 1e308), "head", 3])
def test_refuses_weights(weights):
    with pytest.raises(ValueError, match="joint_weights must be one number of 0 or more for each"):
        build_matcher("dtw", joint_weights=weights)


def test_refuses_another_number_of_joints():
    with pytest.raises(ValueError, match="joint_weights has 4 numbers, but clips have 5 joints"):
        CosineCost(WEIGHTS)(torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 4))
    for options in ({"cost": "activated"}, {"cost": CosineCost()}):
        with pytest.raises(TypeError, match="has no option joint_weights"):
            build_matcher("dtw", joint_weights=WEIGHTS, **options)
