"""How support clips make a class."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from pyg_fsar.classifier.explanation import align_with_class
from pyg_fsar.data import EmbeddedClips
from pyg_fsar.matching import (
    SHOTS,
    Shots,
    build_matcher,
    consistent_joints,
    cosine_cost,
    dtw,
    mean_prototypes,
    soft_dtw,
    soft_dtw_barycentre,
    soft_dtw_barycentres,
)


def motion(speed: float, T: int = 12, phase: float = 0.0) -> torch.Tensor:
    """One joint that goes round once, ``[T, 1, 2]``, quickly first if the speed is above 1."""
    time = torch.linspace(0, 1, T, dtype=torch.float64).pow(1 / speed)
    angle = 2 * torch.pi * time + phase
    return torch.stack([angle.cos(), angle.sin()], dim=-1)[:, None]


def summed(centre: torch.Tensor, clips: EmbeddedClips, gamma: float = 0.1) -> float:
    """What a barycentre minimises, written out pair by pair."""
    frames = [clips.clip(number).flatten(1) for number in range(len(clips))]
    every = [torch.cdist(a, b).square() for a in frames for b in frames]
    scale = torch.cat([cost.flatten() for cost in every]).mean()
    costs = [torch.cdist(centre.flatten(1), frame).square() / scale for frame in frames]
    return sum(float(soft_dtw(cost, gamma)) for cost in costs)


def test_mean_prototypes():
    x = torch.randn(5, 4, 3, 2)
    y = torch.tensor([1, 0, 1, 1, 0])
    prototypes = mean_prototypes(EmbeddedClips(x, y=y), 2)
    torch.testing.assert_close(prototypes.x, torch.stack([x[y == n].mean(0) for n in (0, 1)]))
    assert prototypes.y.tolist() == [0, 1] and prototypes.lengths is None


def test_no_step_of_a_barycentre_raises_the_sum():
    clips = EmbeddedClips.from_clips([motion(s, T) for s, T in ((0.5, 9), (1, 12), (2, 15))])
    sums = [summed(soft_dtw_barycentre(clips, num_steps=n), clips) for n in range(8)]
    assert all(after <= before + 1e-9 for before, after in pairwise(sums))
    assert sums[-1] < sums[0] - 1e-3


def test_clips_of_different_speed_do_not_blur():
    clips = EmbeddedClips(torch.stack([motion(speed) for speed in (0.4, 1, 2.5)]))
    barycentre, mean = soft_dtw_barycentre(clips, 0.01), clips.x.mean(dim=0)
    assert summed(barycentre, clips, 0.01) < 0.6 * summed(mean, clips, 0.01)
    # It goes round the circle, where the mean cuts across it.
    radius, blurred = (clip.norm(dim=-1).min() for clip in (barycentre, mean))
    assert radius > 0.9 > 0.7 > blurred


def test_a_barycentre_does_not_depend_on_scale_or_order():
    clips = EmbeddedClips.from_clips([motion(s, T) for s, T in ((0.5, 9), (1, 12), (2, 12))])
    barycentre = soft_dtw_barycentre(clips)
    torch.testing.assert_close(soft_dtw_barycentre(clips.with_x(7 * clips.x)), 7 * barycentre)
    torch.testing.assert_close(soft_dtw_barycentre(clips[torch.tensor([2, 0, 1])]), barycentre)
    for value in (1e3, torch.nan, torch.inf):
        noisy = clips.with_x(clips.x.clone())
        noisy.x[0, 9:] = value  # padding
        torch.testing.assert_close(soft_dtw_barycentre(noisy), barycentre)


def test_gradients_of_a_barycentre_reach_every_clip():
    x = torch.stack([motion(speed) for speed in (0.5, 1, 2)]).requires_grad_()
    soft_dtw_barycentre(EmbeddedClips(x)).square().sum().backward()
    assert x.grad.isfinite().all() and (x.grad.abs().sum(dim=(1, 2, 3)) > 0).all()


def test_one_clip_is_its_own_barycentre():
    clips = EmbeddedClips.from_clips([motion(1, 9), motion(2, 12)], torch.tensor([1, 0]))
    alone = soft_dtw_barycentres(clips, 2)
    assert torch.equal(alone.clip(0), motion(2, 12)) and torch.equal(alone.clip(1), motion(1, 9))
    twins = EmbeddedClips(torch.stack([motion(1)] * 3))
    torch.testing.assert_close(soft_dtw_barycentre(twins, 1e-4), motion(1))


def test_barycentres_take_shots_of_any_length():
    support = EmbeddedClips.from_clips(
        [motion(0.5, 9), motion(2, 14), motion(0.5, 9, 2.0), motion(2, 14, 2.0)],
        torch.tensor([0, 0, 1, 1]),
    )
    query = EmbeddedClips.from_clips([motion(1, 11), motion(1, 11, 2.0)])
    with pytest.raises(ValueError, match="shots='barycentre', or resample"):
        mean_prototypes(support, 2)
    matcher = build_matcher("dtw", shots="barycentre", cost="euclidean")
    logits = matcher(support.x, support.y, query.x, support.lengths, query.lengths)
    assert logits.argmax(dim=1).tolist() == [0, 1]


def test_nearest_takes_the_smallest_distance():
    support, query = torch.randn(6, 5, 4, 3), torch.randn(2, 5, 4, 3)
    y = torch.tensor([0, 0, 1, 1, 1, 0])
    every = dtw(cosine_cost(query, support))
    expected = torch.stack([every[:, y == n].amin(dim=1) for n in (0, 1)], dim=1)
    torch.testing.assert_close(build_matcher("dtw", shots="nearest")(support, y, query), -expected)


def test_a_further_rule_is_one_entry(monkeypatch: pytest.MonkeyPatch):
    def first(support: EmbeddedClips, n_way: int) -> EmbeddedClips:
        return support[torch.stack([(support.y == n).nonzero()[0, 0] for n in range(n_way)])]

    monkeypatch.setitem(SHOTS, "first", Shots(first))
    support, query = torch.randn(4, 5, 4, 3), torch.randn(2, 5, 4, 3)
    y = torch.tensor([0, 0, 1, 1])
    logits = build_matcher("dtw", shots="first")(support, y, query)
    torch.testing.assert_close(logits, -dtw(cosine_cost(query, support[[0, 2]])))


def test_the_support_needs_classes():
    with pytest.raises(ValueError, match="support clips have no classes"):
        mean_prototypes(EmbeddedClips(torch.zeros(1, 2, 3, 4)), 1)


def test_consistent_joints_equal_the_definition():
    y = torch.tensor([0, 1, 0, 0, 1, 2])
    x = torch.randn(6, 4, 5, 3, dtype=torch.float64)
    weights = consistent_joints(EmbeddedClips(x, y=y), 3, shrinkage=0.3)
    for n in range(2):
        spread = x[y == n].var(dim=0).mean(dim=(0, 2))
        expected = 1 / (0.7 * spread + 0.3 * spread.mean())
        torch.testing.assert_close(weights[n], expected / expected.mean())
    assert (weights[2] == 1).all()  # one clip says nothing
    torch.testing.assert_close(
        consistent_joints(EmbeddedClips(x, y=y), 3, 1.0), torch.ones_like(weights)
    )
    lengths = torch.tensor([3, 4, 3, 3, 4, 2])
    ragged = consistent_joints(EmbeddedClips(x, lengths, y), 3, 0.3)
    trimmed = consistent_joints(EmbeddedClips(x[y == 0, :3], y=torch.zeros(3).long()), 1, 0.3)
    torch.testing.assert_close(ragged[:1], trimmed)


@pytest.mark.parametrize("cost", ["cosine", "euclidean"])
@pytest.mark.parametrize("shots", ["mean", "average", "nearest"])
def test_joint_shrinkage_weighs_the_joints_of_each_class(cost, shots):
    y = torch.tensor([1, 0, 0, 1])
    support, query = (torch.randn(n, 4, 5, 3, dtype=torch.float64) for n in (4, 3))
    matcher = build_matcher("soft_dtw", cost=cost, shots=shots, joint_shrinkage=0.4)
    weights = consistent_joints(EmbeddedClips(support, y=y), 2, 0.4)
    expected = []
    for n in range(2):
        plain = build_matcher("soft_dtw", cost=cost, shots=shots)
        scaled = [clips * weights[n].sqrt()[:, None] for clips in (support[y == n], query)]
        expected.append(plain.distances(scaled[0], torch.zeros(2).long(), scaled[1])[:, 0])
    torch.testing.assert_close(matcher.distances(support, y, query), torch.stack(expected, dim=1))
    leaf = support.clone().requires_grad_()
    matcher.distances(leaf, y, query).sum().backward()
    assert leaf.grad.isfinite().all() and leaf.grad.any()
    assert "joint_shrinkage=0.4" in repr(matcher)
    embedded = EmbeddedClips(support, y=y)
    alignment = align_with_class(matcher, embedded, query[0], 1).alignment
    if shots != "average":  # of which there is no single alignment
        distances = matcher.distances(support, y, query)
        torch.testing.assert_close(alignment.distance, distances[0, 1])


def test_joint_shrinkage_is_plain_matching_with_one_shot():
    support, query, y = torch.randn(3, 4, 5, 3), torch.randn(2, 4, 5, 3), torch.arange(3)
    matcher = build_matcher("dtw", joint_shrinkage=0.4)
    torch.testing.assert_close(
        matcher(support, y, query), build_matcher("dtw")(support, y, query), atol=1e-5, rtol=1e-5
    )
    for value in (0.0, 1.5, -1.0, float("nan")):
        with pytest.raises(ValueError, match="joint_shrinkage must be above 0 and at most 1"):
            build_matcher("dtw", joint_shrinkage=value)
    for options in ({"divergence": True}, {"cost": "ngm"}, {"activation": True}):
        with pytest.raises(ValueError, match="joint_shrinkage needs a cost of inner products"):
            build_matcher("dtw", joint_shrinkage=0.5, **options)
    with pytest.raises(ValueError, match=r"joint_shrinkage compares .* differ in length; resample"):
        build_matcher("dtw", shots="average", joint_shrinkage=0.5)(
            support, torch.tensor([0, 1, 1]), query, torch.tensor([4, 2, 3])
        )
